"""The kernel of a whole form: which contractions take tiles, where results go, what a second stage has to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from tvm import tirx

from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.lowering.epilogue import EpilogueBuffers
from loopwright.lowering.layout import blocked_shape
from loopwright.lowering.schedules import general
from loopwright.lowering.schedules.digits import Digits
from loopwright.lowering.schedules.finish import finish
from loopwright.lowering.schedules.packing import pack, packed_shape
from loopwright.lowering.schedules.placement import (
    Placement,
    covers_output,
    own_placement,
    placements,
)
from loopwright.lowering.schedules.result import Result
from loopwright.lowering.schedules.tile import Begun, Store
from loopwright.lowering.schedules.vectors import Place
from loopwright.lowering.tir import Expression, Over


class CutContraction(Protocol):
    """A contraction cut into loops, and the order of its packed weight."""

    @property
    def contraction(self) -> Contraction: ...

    @property
    def tiled(self) -> bool: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def pack(self, weight: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class PackedContraction:
    """A contraction cut into loops; one that is not ``tiled`` goes down the general path, which takes any."""

    digits: Digits
    tiled: bool

    @property
    def contraction(self) -> Contraction:
        return self.digits.contraction

    @property
    def shape(self) -> tuple[int, int]:
        """Of the packed weight."""
        return packed_shape(self.digits)

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """The dense weight in the order the kernel reads it."""
        return pack(self.digits, weight)


@dataclass(frozen=True)
class FormKernel(ABC):
    """The body of the kernel over given buffers. What is no tile runs ``over`` a machine's threads."""

    form: OperatorForm
    n: int
    contractions: Sequence[CutContraction]
    x: Any
    weights: tuple[Any, ...]
    out: Result
    epilogue: EpilogueBuffers
    over: Over

    def statements(self) -> list[tirx.Stmt]:
        places = placements(self.form) if all(c.tiled for c in self.contractions) else None
        if places is not None:
            parts = zip(self.contractions, self.weights, places, strict=True)
            return [self._tiles(c, weight, place, self._store_final, self._begun()) for c, weight, place in parts]
        return self._one_after_the_other() if self._can_add_up() else self._in_two_stages()

    def _can_add_up(self) -> bool:
        """True when every contraction writes all of the output, so that the last one can finish it."""
        tiled = all(c.tiled and covers_output(self.form, c.contraction) for c in self.contractions)
        return tiled and bool(self.contractions) and not self.form.completion

    def _one_after_the_other(self) -> list[tirx.Stmt]:
        """The first contraction stores, the others add, and the last applies the epilogue."""
        last = len(self.contractions) - 1
        stores: list[Store] = [
            self._store_raw,
            *[partial(_store_sum, self.out)] * (last - 1),
            self._store_final_sum,
        ]
        parts = zip(self.contractions, self.weights, stores, strict=True)
        return [self._tiles(c, w, (own_placement(c.contraction),), store) for c, w, store in parts]

    def _in_two_stages(self) -> list[tirx.Stmt]:
        """All contractions add to a zeroed result, which the second stage completes."""
        apart = bool(self.form.completion) or self.out.first_block is not None
        shape = blocked_shape(self.n, self.form.output_shape, self.out.block)
        raw = tirx.decl_buffer(shape, "float32", "raw") if apart else self.out.buffer
        allocation = [tirx.AllocBuffer(raw)] if apart else []
        sums = [self._sum(c, weight, raw) for c, weight in zip(self.contractions, self.weights, strict=True)]
        stage = finish(self.form.completion, raw, self.out, self.epilogue, self.over)
        return [*allocation, general.clear(raw, self.over), *sums, stage]

    def _sum(self, packed: Any, weight: Any, raw: Any) -> tirx.Stmt:
        if not packed.tiled:
            return general.accumulate(packed.digits, self.n, self.x, weight, raw, self.over)
        return self._tiles(packed, weight, (own_placement(packed.contraction),), partial(_store_sum, Result(raw)))

    @abstractmethod
    def _tiles(
        self,
        packed: Any,
        weight: Any,
        places: tuple[Placement, ...],
        store: Store,
        begun: Begun | None = None,
    ) -> tirx.Stmt:
        """The code of a contraction that is ``tiled``."""

    def _begun(self) -> Begun | None:
        """Sums that begin with the shift."""
        if not self.epilogue.may_begin:
            return None
        return Begun(self.epilogue.begin, replace(self, epilogue=self.epilogue.begun)._store_final)

    def _store_final(self, value: Expression, place: Place, lanes: int) -> tirx.Stmt:
        return self.out.store(self.epilogue.apply(value, place, lanes), place, lanes)

    def _store_final_sum(self, value: Expression, place: Place, lanes: int) -> tirx.Stmt:
        return self._store_final(self.out.load(place, lanes) + value, place, lanes)

    def _store_raw(self, value: Expression, place: Place, lanes: int) -> tirx.Stmt:
        return self.out.store(value, place, lanes)


def _store_sum(result: Result, value: Expression, place: Place, lanes: int) -> tirx.Stmt:
    return result.store(result.load(place, lanes) + value, place, lanes)
