"""PyTorch operations that TVM's importer lacks or misreads, in terms of others that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.export import default_decompositions
from torch.nn import functional

Pair = tuple[int, int]


def decompositions() -> dict[Any, Callable[..., Any]]:
    """PyTorch's own table, and ours."""
    table: dict[Any, Callable[..., Any]] = default_decompositions()
    table[torch.ops.aten.im2col.default] = _im2col
    table[torch.ops.aten.adaptive_max_pool2d.default] = _adaptive_max_pool2d
    return table


def _im2col(x: torch.Tensor, kernel_size: Pair, dilation: Pair, padding: Pair, stride: Pair) -> torch.Tensor:
    """``torch.nn.functional.unfold``: (N, C, H, W) -> (N, C * kh * kw, positions)."""
    (kh, kw), (ph, pw) = kernel_size, padding
    x = functional.pad(x, (pw, pw, ph, ph))
    rows = [_taps(i, x.shape[2], kh, dilation[0], stride[0]) for i in range(kh)]
    columns = [_taps(i, x.shape[3], kw, dilation[1], stride[1]) for i in range(kw)]
    patches = torch.stack([x[:, :, row, column] for row in rows for column in columns], 2)
    return patches.reshape(x.shape[0], x.shape[1] * kh * kw, -1)


def _taps(tap: int, size: int, kernel_size: int, dilation: int, stride: int) -> slice:
    """What one place of the kernel reads along an axis."""
    first = tap * dilation
    return slice(first, first + size - dilation * (kernel_size - 1), stride)


def _adaptive_max_pool2d(x: torch.Tensor, output_size: Pair) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest of each window, axis by axis. The second value, the places of the largest, is none: a network that
    uses it is refused before (`loopwright.lowering.relax_import`)."""
    for axis, count in zip((-2, -1), output_size, strict=True):
        size = x.shape[axis]
        bounds = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        x = torch.cat([x.narrow(axis, a, b - a).amax(axis, keepdim=True) for a, b in bounds], axis)
    return x, torch.zeros_like(x, dtype=torch.int64)
