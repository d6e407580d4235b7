"""PyTorch operations that TVM's importer lacks or misreads, in terms of others that it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch._decomp import get_decompositions
from torch.export import default_decompositions
from torch.nn import functional

Pair = tuple[int, int]
ATEN = torch.ops.aten

BY_PYTORCH = (
    ATEN.elu.default,
    ATEN.grid_sampler_2d.default,
    ATEN._cdist_forward.default,
    ATEN._euclidean_dist.default,
    ATEN._upsample_bilinear2d_aa.vec,
    ATEN._upsample_bicubic2d_aa.vec,
)
"""What PyTorch can decompose but keeps as one of its core operations."""


def decompositions() -> dict[Any, Callable[..., Any]]:
    """PyTorch's own table, and ours."""
    table: dict[Any, Callable[..., Any]] = {**default_decompositions(), **get_decompositions(BY_PYTORCH)}
    table |= {
        ATEN.im2col.default: _im2col,
        ATEN.add.Tensor: lambda x, y, alpha=1: NotImplemented if alpha == 1 else x + alpha * y,
        ATEN.sub.Tensor: lambda x, y, alpha=1: NotImplemented if alpha == 1 else x - alpha * y,
        ATEN.adaptive_max_pool2d.default: _adaptive_max_pool2d,
        ATEN.avg_pool2d.default: _avg_pool2d,
        ATEN.max_pool2d_with_indices.default: _max_pool2d,
        ATEN.amax.default: _amax,
        ATEN.amin.default: lambda x, *arguments: -_amax(-x, *arguments),
        ATEN.min.dim: _min,
        ATEN.prod.dim_int: _prod,
        ATEN.upsample_nearest2d.vec: _resize(ATEN.upsample_nearest2d.vec),
        ATEN.upsample_bilinear2d.vec: _resize(ATEN.upsample_bilinear2d.vec),
    }
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
        windows = [x.narrow(axis, start, end - start) for start, end in bounds]
        x = torch.cat([torch.max(window, axis, keepdim=True).values for window in windows], axis)
    return x, torch.zeros_like(x, dtype=torch.int64)


def _avg_pool2d(
    x: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """A pooling with a divisor of its own; others stay as they are."""
    if divisor_override is None or ceil_mode or not count_include_pad:
        return NotImplemented
    pair = (kernel_size[0], kernel_size[-1])
    return functional.avg_pool2d(x, pair, tuple(stride) or pair, tuple(padding)) * (prod(pair) / divisor_override)


def _max_pool2d(x: torch.Tensor, kernel_size: Pair, stride: Sequence[int] = (), *window: Any) -> Any:
    """A pooling with the stride left out; others stay as they are."""
    return NotImplemented if stride else ATEN.max_pool2d_with_indices(x, kernel_size, kernel_size, *window)


def _amax(x: torch.Tensor, axes: Sequence[int] = (), keepdim: bool = False) -> torch.Tensor:
    """The largest along the axes, of which none means all."""
    for axis in sorted({axis % x.ndim for axis in axes or range(x.ndim)}, reverse=True):
        x = torch.max(x, axis, keepdim=keepdim).values
    return x


def _min(x: torch.Tensor, axis: int, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    values, places = torch.max(-x, axis, keepdim=keepdim)
    return -values, places


def _prod(x: torch.Tensor, axis: int, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> torch.Tensor:
    first, *others = torch.unbind(x if dtype is None else x.to(dtype), axis)
    for other in others:
        first = first * other
    return first.unsqueeze(axis) if keepdim else first


def _resize(operation: Any) -> Callable[..., Any]:
    """Scaling by a fraction, of which TVM rounds otherwise, by PyTorch's own definition; others stay as they are."""
    defined = get_decompositions([operation])[operation]

    def resize(x: torch.Tensor, output_size: Sequence[int] | None, *arguments: Any) -> Any:
        scales = arguments[-1] or ()
        whole = all(float(scale).is_integer() for scale in scales)
        return NotImplemented if whole else defined(x, output_size, *arguments)

    return resize
