"""A kernel with tensors to run on: activations that stay, weights in one copy or in several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.kernel import Kernel
from loopwright.measurement.build import Compiled
from loopwright.measurement.device import Device
from loopwright.measurement.timer import Call, Protocol, rotate

Shape = tuple[int, ...]


class WeightCopies:
    """Random weights on a device, so many copies as were asked for; kernels whose weights have equal shapes share
    them."""

    def __init__(self, device: Device, seed: int = 0):
        self.device = device
        self._random = np.random.default_rng(seed)
        self._copies: dict[tuple[int, Shape], list[Any]] = {}

    def of(self, position: int, shape: Shape, count: int) -> list[Any]:
        """``count`` equal tensors for a kernel's weight number ``position``."""
        found = self._copies.setdefault((position, shape), [])
        if len(found) < count:
            values = self.device.array(found[0]) if found else self._random.standard_normal(shape, dtype=np.float32)
            found += [self.device.tensor(values) for _ in range(count - len(found))]
        return found[:count]


def cold_call(kernel: Kernel, compiled: Compiled, protocol: Protocol, copies: WeightCopies) -> Call:
    """A call of ``compiled`` on random tensors: the next copy of the weights, and of input and output, each time."""
    tensors = _Tensors(kernel, copies)
    passed = protocol.copies_of_activations(tensors.activation_bytes)
    return tensors.call(compiled, protocol.copies_of(tensors.weight_bytes), passed)


def warm_call(kernel: Kernel, compiled: Compiled, copies: WeightCopies) -> Call:
    """A call of ``compiled`` on random tensors, the same each time."""
    return _Tensors(kernel, copies).call(compiled, 1, 1)


class _Tensors:
    """Random arguments for a kernel: input, weights, what its epilogue reads, output."""

    def __init__(self, kernel: Kernel, copies: WeightCopies):
        self._shapes = [tuple(int(extent) for extent in p.shape) for p in kernel.primfunc.params]
        self._first_kept = 1 + len(kernel.packed_shapes)
        self._copies = copies

    @property
    def weight_bytes(self) -> int:
        """Of all weights."""
        return _bytes(self._shapes[1 : self._first_kept])

    @property
    def activation_bytes(self) -> int:
        """Of input and output."""
        return _bytes([self._shapes[0], self._shapes[-1]])

    def call(self, compiled: Compiled, weight_copies: int, activation_copies: int) -> Call:
        """A call that takes the next of so many copies each time."""
        random = np.random.default_rng(0)
        first, *_, last = self._shapes
        kept = [self._drawn(random, shape) for shape in self._shapes[self._first_kept : -1]]
        passed = [(self._drawn(random, first), self._drawn(random, last)) for _ in range(activation_copies)]
        shapes = enumerate(self._shapes[1 : self._first_kept])
        weights = list(zip(*(self._copies.of(k, shape, weight_copies) for k, shape in shapes), strict=True)) or [()]
        calls = range(max(len(weights), activation_copies))
        pairs = ((weights[k % len(weights)], passed[k % activation_copies]) for k in calls)
        return rotate([partial(compiled, x, *own, *kept, out) for own, (x, out) in pairs])

    def _drawn(self, random: np.random.Generator, shape: Shape) -> Any:
        return self._copies.device.tensor(random.standard_normal(shape, dtype=np.float32))


def _bytes(shapes: Sequence[Shape]) -> int:
    return FLOAT_BYTES * sum(map(prod, shapes))
