"""Weights in the order in which a kernel reads them: one vector of lanes after the other."""

from __future__ import annotations

from math import prod

import numpy as np

from loopwright.ir.affine import Affine, constant, var
from loopwright.lowering.schedules.digits import Digits


def packed_shape(digits: Digits) -> tuple[int, int]:
    """(vectors, lanes) of the packed weight."""
    lanes = digits.extent("lane")
    return prod(digits.contraction.weight_shape) // lanes, lanes


def packed_vector(digits: Digits) -> Affine:
    """The number of the vector that an instance reads, over the digits."""
    place, stride = constant(0), 1
    for digit in reversed([digit for digit in digits.in_weight if digit.kind != "lane"]):
        place, stride = place + var(digit.name) * stride, stride * digit.extent
    return place


def pack(digits: Digits, weight: np.ndarray) -> np.ndarray:
    """The dense weight (shape `Contraction.weight_shape`) as float32 of `packed_shape`."""
    weight_dims = [k for k, dim in enumerate(digits.contraction.dims) if dim.in_weight]
    by_dim = [digit for k in weight_dims for digit in _outermost_first(digits, k)]
    split = np.asarray(weight, dtype=np.float32).reshape([digit.extent for digit in by_dim])
    ordered = split.transpose([by_dim.index(digit) for digit in digits.in_weight])
    return np.ascontiguousarray(ordered).reshape(packed_shape(digits))


def _outermost_first(digits: Digits, dim: int):  # type: ignore[no-untyped-def]
    return sorted((digit for digit in digits.digits if digit.dim == dim), key=lambda digit: -digit.step)
