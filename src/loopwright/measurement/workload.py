"""A kernel with tensors to run on: activations that stay, weights in one copy or in several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod

import numpy as np
import tvm

from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.kernel import Kernel
from loopwright.measurement.build import Compiled
from loopwright.measurement.timer import Call, Protocol, rotate


def cold_call(kernel: Kernel, compiled: Compiled, protocol: Protocol, seed: int = 0) -> Call:
    """A call of ``compiled`` on random tensors, with the next copy of the weights each time."""
    weight_bytes = FLOAT_BYTES * sum(prod(shape) for shape in kernel.packed_shapes)
    return _call(kernel, compiled, protocol.copies_of(weight_bytes), seed)


def warm_call(kernel: Kernel, compiled: Compiled, seed: int = 0) -> Call:
    """A call of ``compiled`` on random tensors, with the same weights each time."""
    return _call(kernel, compiled, 1, seed)


def _call(kernel: Kernel, compiled: Compiled, count: int, seed: int) -> Call:
    random = np.random.default_rng(seed)
    shapes = [tuple(int(extent) for extent in p.shape) for p in kernel.primfunc.params]
    first, last = 1, 1 + len(kernel.packed_shapes)
    held = [_tensor(random, shape) for shape in shapes]
    copies = [_copies(random, shape, count) for shape in kernel.packed_shapes]
    return rotate([partial(compiled, *held[:first], *weights, *held[last:]) for weights in zip(*copies, strict=True)])


def _tensor(random: np.random.Generator, shape: Sequence[int]) -> tvm.runtime.Tensor:
    return tvm.runtime.tensor(random.standard_normal(shape, dtype=np.float32))


def _copies(random: np.random.Generator, shape: Sequence[int], count: int) -> list[tvm.runtime.Tensor]:
    values = random.standard_normal(shape, dtype=np.float32)
    return [tvm.runtime.tensor(values) for _ in range(count)]
