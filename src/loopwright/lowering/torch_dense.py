"""An operator as dense convolutions in PyTorch, fast on GPUs: cuDNN's dense convolutions outrun its grouped ones.

Everything keeps the channels last in memory where the input does.
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from loopwright.lowering.dense import DensePlan, Region
from loopwright.lowering.torch_contraction import windowed

HEIGHT, WIDTH = 2, 3
Table = Tensor | None


class DenseConvolutions:
    """Runs a plan on one device: (N, C, H, W) and all stored weights, flat, to (N, C', H', W')."""

    def __init__(self, plan: DensePlan, device: torch.device):
        self._regions = [[_DenseConvolution(region, device) for region in row] for row in plan.regions]
        self._rows, self._columns = (_on(table, device) for table in plan.order)

    def __call__(self, x: Tensor, stored: Tensor) -> Tensor:
        rows = [
            _taken(_joined([region(x, stored) for region in row], WIDTH), WIDTH, self._columns) for row in self._regions
        ]
        return _taken(_joined(rows, HEIGHT), HEIGHT, self._rows)


class _DenseConvolution:
    """One region."""

    def __init__(self, region: Region, device: torch.device):
        self._windows, self._shape = region.windows, region.shape
        self._places, self._stored, self._channels = (
            _on(table, device) for table in (region.places, region.stored, region.channels)
        )
        self._repeats = _repeats(region)
        self._rows, self._columns = (_on(table, device) for table in region.lines)

    def __call__(self, x: Tensor, stored: Tensor) -> Tensor:
        weight = self._weight(stored)
        if not x.is_contiguous(memory_format=torch.channels_last):
            weight = weight.contiguous()
        strides, dilations = zip(*((window.stride, window.dilation) for window in self._windows), strict=True)
        view, padding = windowed(x, self._windows)
        result = functional.conv2d(view, weight, None, strides, padding, dilations)
        for axis, window in zip((HEIGHT, WIDTH), self._windows, strict=True):
            result = result if result.shape[axis] == window.outputs else result.narrow(axis, 0, window.outputs)
        if self._repeats is not None:
            return functional.interpolate(result, scale_factor=self._repeats, mode="nearest")
        return _taken(_taken(result, HEIGHT, self._rows), WIDTH, self._columns)

    def _weight(self, stored: Tensor) -> Tensor:
        """(output channels, input channels, rows, columns), channels last in memory."""
        own = stored if self._stored is None else stored.index_select(0, self._stored)
        if self._places is not None:
            own = own.new_zeros(prod(self._shape)).index_copy(0, self._places, own)
        weight = own.view(self._shape)
        weight = weight if self._channels is None else weight.index_select(0, self._channels)
        return weight.permute(0, 3, 1, 2)


def _repeats(region: Region) -> tuple[float, float] | None:
    """How often each computed row and column is repeated, if all are equally often, one after the other."""
    factors = []
    for window, table in zip(region.windows, region.lines, strict=True):
        size = window.outputs if table is None else len(table)
        factor, rest = divmod(size, window.outputs)
        if rest or (table is not None and not np.array_equal(table, np.arange(size) // factor)):
            return None
        factors.append(float(factor))
    return (factors[0], factors[1]) if max(factors) > 1 else None


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def _taken(x: Tensor, axis: int, table: Table) -> Tensor:
    """The rows or columns of ``table``, with the channels last in memory where they are in ``x``."""
    if table is None:
        return x
    if not x.is_contiguous(memory_format=torch.channels_last):
        return x.index_select(axis, table)
    return x.permute(0, 2, 3, 1).index_select(axis - 1, table).permute(0, 3, 1, 2)


def _on(table: np.ndarray | None, device: torch.device) -> Table:
    return None if table is None else torch.from_numpy(np.ascontiguousarray(table)).to(device)
