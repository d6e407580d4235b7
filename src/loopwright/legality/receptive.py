"""Receptive fields: the set of input cells on which every position of a network depends, by propagation of bit sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from loopwright.models.dataflow import Dataflow, Step
from loopwright.models.footprint import Footprint, Size

CELLS = 32
"""Inputs are told apart in at most this many cells a side; beyond 32x32 pixels a cell is a square of pixels."""


@dataclass(frozen=True)
class Cells:
    """A grid over an input of ``input_size`` whose cells are ``side`` pixels high and wide; sets of cells are bits in
    64-bit words."""

    input_size: Size
    side: int

    @staticmethod
    def of(input_size: Size) -> Cells:
        """The finest grid of at most `CELLS` cells a side."""
        return Cells(input_size, -(-max(input_size) // CELLS))

    @property
    def grid(self) -> Size:
        """Rows and columns of cells."""
        return -(-self.input_size[0] // self.side), -(-self.input_size[1] // self.side)

    def own(self) -> np.ndarray:
        """For every input pixel, row by row, the set that holds its own cell: (pixels, words)."""
        row, column = np.indices(self.input_size).reshape(2, -1) // self.side
        cell = row * self.grid[1] + column
        fields = np.zeros((len(cell), -(-self.grid[0] * self.grid[1] // 64)), np.uint64)
        fields[np.arange(len(cell)), cell // 64] = np.left_shift(np.uint64(1), (cell % 64).astype(np.uint64))
        return fields

    def members(self, field: np.ndarray) -> np.ndarray:
        """The cells of one set (words,) as (row, column), shape (k, 2)."""
        bits = np.flatnonzero(np.unpackbits(field.view(np.uint8), bitorder="little"))
        return np.stack(np.divmod(bits, self.grid[1]), 1)

    @property
    def noun(self) -> str:
        """What a cell is called in messages."""
        return "input pixels" if self.side == 1 else f"input cells of {self.side}x{self.side} pixels"


def receptive_fields(
    dataflow: Dataflow, cells: Cells, replaced: Mapping[str, Footprint], wanted: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """For each step in ``wanted`` the cells that its positions depend on, (height * width, words).

    ``replaced`` gives the footprints of changed layers by name. Sets are dropped after their last use.
    """
    last_use = {name: index for index, step in enumerate(dataflow.steps) for name in step.inputs}
    fields = {dataflow.input.name: cells.own()}
    for index, step in enumerate(dataflow.steps):
        if step.inputs:
            fields[step.name] = _fields(step, [fields[name] for name in step.inputs], replaced)
        for name in step.inputs:
            if last_use[name] == index and name not in wanted:
                fields.pop(name, None)
    return {name: fields[name] for name in wanted}


def _fields(step: Step, inputs: list[np.ndarray], replaced: Mapping[str, Footprint]) -> np.ndarray:
    positions = step.size[0] * step.size[1]
    if step.footprint is not None:
        return replaced.get(step.layer, step.footprint).propagate(inputs[0])
    if not step.pointwise:
        inputs = [np.bitwise_or.reduce(fields, keepdims=True) for fields in inputs]
    united = reduce(np.bitwise_or, inputs)
    return united if len(united) == positions else np.broadcast_to(united, (positions, united.shape[1]))
