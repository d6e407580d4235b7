"""The structural check: a candidate keeps the network's receptive field and still reads every input pixel.

It is static and exact in positions, with channels projected out: a position depends on a pixel if one of its channels
does. The sets of pixels are compared where the network last has positions: before it collapses them, or at its output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loopwright.ir.contraction import OperatorForm
from loopwright.legality.footprint import footprint
from loopwright.legality.receptive import Cells, receptive_fields
from loopwright.legality.verdict import Verdict
from loopwright.models.dataflow import Dataflow
from loopwright.models.footprint import Size

CHECK = "structure"


@dataclass(frozen=True, eq=False)
class StructureCheck:
    """Holds candidates against ``original``: the sets of cells at each boundary step of ``dataflow``."""

    dataflow: Dataflow
    cells: Cells
    original: Mapping[str, np.ndarray]

    @staticmethod
    def of(dataflow: Dataflow) -> StructureCheck:
        """The check for candidates of the network with this dataflow."""
        cells = Cells.of(dataflow.input.size)
        return StructureCheck(dataflow, cells, receptive_fields(dataflow, cells, {}, dataflow.boundary()))

    def judge(self, forms: Mapping[str, OperatorForm]) -> Verdict:
        """``forms`` gives the operators of the changed layers by the layers' names. Legal if

        - every input cell that the original's outputs depend on is still read, and
        - where positions are about to be collapsed, the cells that the original sees together at a position are still
          seen together at some position (not necessarily the same: nearest completion shifts them), and
        - at an output with positions, each sees all that some position of the original sees: its own, or another one.
        """
        changed = {layer: footprint(form) for layer, form in forms.items()}
        found = receptive_fields(self.dataflow, self.cells, changed, tuple(self.original))
        return self._coverage(found) or self._fields(found) or Verdict(True, CHECK, "receptive field kept")

    def _coverage(self, found: Mapping[str, np.ndarray]) -> Verdict | None:
        """The rejection for an input cell that is no longer read."""
        read = _union(self.original)
        lost = self.cells.members(read & ~_union(found))
        if not len(lost):
            return None
        count = len(self.cells.members(read))
        reason = f"input coverage: {len(lost)} of the {count} {self.cells.noun} that the original reads are not read"
        return Verdict(False, CHECK, reason, f"input {_point(lost[0])}", {"cells_lost": len(lost)})

    def _fields(self, found: Mapping[str, np.ndarray]) -> Verdict | None:
        """The rejection for a set of cells that is no longer seen together."""
        sizes = {step.name: step.size for step in self.dataflow.steps}
        for name, before in self.original.items():
            needed, offered = (~found[name], ~before) if name in self.dataflow.outputs else (before, found[name])
            position = first_unmatched(needed, offered, sizes[name])
            if position is not None:
                point = divmod(position, sizes[name][1])
                return self._field_verdict(
                    f"position {_point(point)} of {name}", before[position], found[name][position]
                )
        return None

    def _field_verdict(self, place: str, before: np.ndarray, after: np.ndarray) -> Verdict:
        lost, seen = self.cells.members(before & ~after), self.cells.members(before)
        kept = f"{len(seen) - len(lost)} of the {len(seen)} {self.cells.noun}"
        reason = f"receptive field: {place} sees {kept} that the original's sees, and no other position makes up for it"
        return Verdict(False, CHECK, reason, f"{place} misses input {_point(lost[0])}", {"cells_lost": len(lost)})


def first_unmatched(needed: np.ndarray, offered: np.ndarray, size: Size) -> int | None:
    """The first position whose set in ``needed`` is part of no set in ``offered``; None if there is none.

    Both are (positions, words). Positions that agree, and those that agree after one shift, are dealt with at once.
    """
    pending = np.flatnonzero((needed & ~offered).any(1))
    while len(pending):
        matches = np.flatnonzero(~(needed[pending[0]] & ~offered).any(1))
        if not len(matches):
            return int(pending[0])
        moved = _moved(pending, size, _nearest_shift(matches, int(pending[0]), size[1]))
        pending = pending[(needed[pending] & ~offered[moved]).any(1)]
    return None


def _nearest_shift(matches: np.ndarray, position: int, width: int) -> tuple[int, int]:
    """Rows and columns from a position to the nearest of ``matches``."""
    rows, columns = np.divmod(matches, width)
    rows, columns = rows - position // width, columns - position % width
    nearest = int(np.argmin(np.maximum(abs(rows), abs(columns))))
    return int(rows[nearest]), int(columns[nearest])


def _moved(positions: np.ndarray, size: Size, shift: tuple[int, int]) -> np.ndarray:
    """Positions moved by a shift; those that it would move outside stay."""
    rows, columns = positions // size[1] + shift[0], positions % size[1] + shift[1]
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    return np.where(inside, rows * size[1] + columns, positions)


def _union(fields: Mapping[str, np.ndarray]) -> np.ndarray:
    """The union over all positions of all steps."""
    return np.bitwise_or.reduce([np.bitwise_or.reduce(sets) for sets in fields.values()])


def _point(point: np.ndarray | tuple[int, int]) -> str:
    return f"({point[0]}, {point[1]})"
