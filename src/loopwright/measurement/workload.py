"""A kernel with tensors to run on: activations that stay, weights in one copy or in several."""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np
import tvm

from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.kernel import Kernel
from loopwright.measurement.build import Compiled
from loopwright.measurement.timer import Call, Protocol, rotate

Shape = tuple[int, ...]


class WeightCopies:
    """Random weights, so many copies as were asked for; kernels whose weights have equal shapes share them."""

    def __init__(self, seed: int = 0):
        self._random = np.random.default_rng(seed)
        self._copies: dict[tuple[int, Shape], list[tvm.runtime.Tensor]] = {}

    def of(self, position: int, shape: Shape, count: int) -> list[tvm.runtime.Tensor]:
        """``count`` equal tensors for a kernel's weight number ``position``."""
        found = self._copies.setdefault((position, shape), [])
        if len(found) < count:
            values = found[0].numpy() if found else self._random.standard_normal(shape, dtype=np.float32)
            found += [tvm.runtime.tensor(values) for _ in range(count - len(found))]
        return found[:count]


def cold_call(kernel: Kernel, compiled: Compiled, protocol: Protocol, copies: WeightCopies | None = None) -> Call:
    """A call of ``compiled`` on random tensors, with the next copy of the weights each time."""
    weight_bytes = FLOAT_BYTES * sum(prod(shape) for shape in kernel.packed_shapes)
    return _call(kernel, compiled, protocol.copies_of(weight_bytes), copies or WeightCopies())


def warm_call(kernel: Kernel, compiled: Compiled, copies: WeightCopies | None = None) -> Call:
    """A call of ``compiled`` on random tensors, with the same weights each time."""
    return _call(kernel, compiled, 1, copies or WeightCopies())


def _call(kernel: Kernel, compiled: Compiled, count: int, copies: WeightCopies) -> Call:
    random = np.random.default_rng(0)
    shapes = [tuple(int(extent) for extent in p.shape) for p in kernel.primfunc.params]
    first, last = 1, 1 + len(kernel.packed_shapes)
    held = [tvm.runtime.tensor(random.standard_normal(shape, dtype=np.float32)) for shape in shapes]
    weights = zip(*(copies.of(k, shape, count) for k, shape in enumerate(shapes[first:last])), strict=True)
    return rotate([partial(compiled, *held[:first], *own, *held[last:]) for own in weights])
