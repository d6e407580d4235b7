"""What a contraction multiplies, seen as one product of matrices.

Rows of the product are output channels, columns are pixels of all images, and the sum runs over the taps of a window
and the input channels: an implicit matrix product (Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning",
2014, section 3), whose right factor is never stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from loopwright.ir.contraction import Contraction, Dim, OperatorForm

CHANNEL, ROW, COLUMN = range(3)
BLOCK = 16
"""Input channels that lie side by side, and are multiplied together."""


@dataclass(frozen=True)
class Window:
    """A contraction of one group. Each number is that of a dim, None where there is no such dim: ``pixels`` are those
    along rows and columns, ``taps`` those of the window along them."""

    contraction: Contraction
    out: int
    reduced: int
    pixels: tuple[int | None, int | None]
    taps: tuple[int | None, int | None]

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.extent(self.out)

    @property
    def blocks(self) -> int:
        """Blocks of input channels."""
        return self.extent(self.reduced) // BLOCK

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of an image of the output."""
        return self.extent(self.pixels[0]), self.extent(self.pixels[1])

    @property
    def kernel(self) -> tuple[int, int]:
        """Taps along rows and columns."""
        return self.extent(self.taps[0]), self.extent(self.taps[1])

    @property
    def stride(self) -> tuple[int, int]:
        """Steps of the input along rows and columns, from a pixel to the next."""
        return self._step(self.pixels[0], ROW), self._step(self.pixels[1], COLUMN)

    @property
    def dilation(self) -> tuple[int, int]:
        """Steps of the input along rows and columns, from a tap to the next."""
        return self._step(self.taps[0], ROW), self._step(self.taps[1], COLUMN)

    def extent(self, dim: int | None) -> int:
        """That of a dim, 1 where there is none."""
        return 1 if dim is None else self.contraction.dims[dim].extent

    def matrix(self, weight: np.ndarray) -> np.ndarray:
        """The dense weight (shape `Contraction.weight_shape`) as (tap, output channel, input channel)."""
        in_weight = [k for k, dim in enumerate(self.contraction.dims) if dim.in_weight]
        order = [k for k in (*self.taps, self.out, self.reduced) if k is not None]
        shape = (-1, self.channels, self.extent(self.reduced))
        return np.asarray(weight, np.float32).transpose([in_weight.index(k) for k in order]).reshape(shape)

    def _step(self, dim: int | None, axis: int) -> int:
        return 1 if dim is None else self.contraction.dims[dim].input[axis]


def window_of(contraction: Contraction, input_block: int) -> Window | None:
    """The contraction as a product of matrices; None where it has several groups, dims that move along two axes at once
    or two dims that move along the same, or does not read whole blocks of ``input_block`` channels."""
    if input_block != BLOCK or contraction.input_offset[CHANNEL] % BLOCK:
        return None
    kinds = [_kind(dim) for dim in contraction.dims]
    numbers = {kind: k for k, kind in enumerate(kinds)}
    if None in kinds or len(numbers) < len(kinds) or not {"out", "reduced"} <= numbers.keys():
        return None
    if contraction.dims[numbers["reduced"]].extent % BLOCK:
        return None
    rows_and_columns = [(numbers.get(f"{kind}{ROW}"), numbers.get(f"{kind}{COLUMN}")) for kind in ("pixel", "tap")]
    return Window(contraction, numbers["out"], numbers["reduced"], *rows_and_columns)


def windows(form: OperatorForm, input_block: int) -> tuple[Window, ...] | None:
    """All contractions of a form; None where one is no product of matrices, or there is none."""
    found = [window_of(contraction, input_block) for contraction in form.contractions]
    return tuple(window for window in found if window is not None) if found and None not in found else None


def _kind(dim: Dim) -> str | None:
    """``out``, ``reduced`` (over input channels), or ``pixel`` or ``tap`` with the number of the axis."""
    read, written = list(_moved(dim.input)), list(_moved(dim.output))
    if dim.role == "out" and written == [CHANNEL]:
        return "out"
    if dim.role == "pixel" and read == written and read in ([ROW], [COLUMN]) and dim.input[read[0]] > 0:
        return f"pixel{read[0]}"
    if dim.role == "reduce" and read == [CHANNEL] and dim.input[CHANNEL] == 1:
        return "reduced"
    if dim.role == "reduce" and read in ([ROW], [COLUMN]) and dim.input[read[0]] > 0:
        return f"tap{read[0]}"
    return None


def _moved(step: tuple[int, ...]) -> Iterator[Any]:
    """The axes along which a step moves."""
    return (axis for axis, by in enumerate(step) if by)
