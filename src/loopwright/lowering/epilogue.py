"""What follows a convolution in the same kernel: ``min?(relu?(value * scale + shift + residual?), at_most)``, each part
optional."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any

from tvm import tirx

from loopwright.lowering.layout import Shape, blocked_shape
from loopwright.lowering.tir import Expression, ramp, splat, zero


@dataclass(frozen=True)
class Epilogue:
    """Which parts take place; ``scale`` and ``shift`` are one value an output channel, ``at_most`` the largest result
    (6 for ReLU6)."""

    scale: bool = False
    shift: bool = False
    residual: bool = False
    relu: bool = False
    at_most: float | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value that it lets through."""
        return 0.0 if self.relu else -inf, inf if self.at_most is None else self.at_most


@dataclass(frozen=True)
class EpilogueBuffers:
    """The kernel parameters an epilogue reads; ``parameters`` has those that exist, in call order."""

    epilogue: Epilogue
    scale: Any
    shift: Any
    residual: Any

    @property
    def parameters(self) -> tuple[Any, ...]:
        epilogue = self.epilogue
        chosen = ((epilogue.scale, self.scale), (epilogue.shift, self.shift), (epilogue.residual, self.residual))
        return tuple(buffer for present, buffer in chosen if present)

    @property
    def may_begin(self) -> bool:
        """Whether sums may begin with the shift, rather than get it at the end: where nothing scales them."""
        return self.epilogue.shift and not self.epilogue.scale

    def begin(self, place: tuple[Expression, ...], lanes: int) -> Expression:
        """The shift of ``lanes`` values that go to ``place`` (image, block, row, column, first lane)."""
        _, block, _, _, lane = place
        return tirx.BufferLoad(self.shift, [self._channel(block, lane, lanes)])

    @property
    def begun(self) -> EpilogueBuffers:
        """What is left for sums that began with the shift."""
        return replace(self, epilogue=replace(self.epilogue, shift=False))

    def _channel(self, block: Expression, lane: Expression, lanes: int) -> Expression:
        return ramp(block * self.residual.shape[4] + lane, lanes)

    def apply(self, result: Expression, place: tuple[Expression, ...], lanes: int) -> Expression:
        """The epilogue of ``lanes`` values that go to ``place`` (image, block, row, column, first lane)."""
        image, block, row, column, lane = place
        channel = self._channel(block, lane, lanes)
        if self.epilogue.scale:
            result = result * tirx.BufferLoad(self.scale, [channel])
        if self.epilogue.shift:
            result = result + tirx.BufferLoad(self.shift, [channel])
        if self.epilogue.residual:
            result = result + tirx.BufferLoad(self.residual, [image, block, row, column, ramp(lane, lanes)])
        return self._bounded(result, lanes)

    def _bounded(self, result: Expression, lanes: int) -> Expression:
        result = tirx.max(result, zero(lanes)) if self.epilogue.relu else result
        if self.epilogue.at_most is None:
            return result
        return tirx.min(result, splat(tirx.const(self.epilogue.at_most, "float32"), lanes))


def epilogue_buffers(epilogue: Epilogue, n: int, output_shape: Shape, lanes: int, prefix: str = "") -> EpilogueBuffers:
    """Fresh parameters: scale and shift of shape (C,), the residual in the output's stored form."""
    stored = blocked_shape(n, output_shape, lanes)
    channels = (output_shape[0],)
    return EpilogueBuffers(
        epilogue,
        scale=tirx.decl_buffer(channels, "float32", f"{prefix}scale"),
        shift=tirx.decl_buffer(channels, "float32", f"{prefix}shift"),
        residual=tirx.decl_buffer(stored, "float32", f"{prefix}residual"),
    )
