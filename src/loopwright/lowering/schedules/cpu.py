"""The CPU kernel of a whole form: which contractions take tiles, where results go, what a second stage has to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
from tvm import tirx

from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.epilogue import EpilogueBuffers
from loopwright.lowering.layout import blocked_shape, channel_block
from loopwright.lowering.schedules import general
from loopwright.lowering.schedules.digits import Digits, cut
from loopwright.lowering.schedules.fetching import Fetching
from loopwright.lowering.schedules.finish import finish
from loopwright.lowering.schedules.packing import pack, packed_shape
from loopwright.lowering.schedules.panel import Panel
from loopwright.lowering.schedules.placement import (
    Placement,
    covers_output,
    is_injective,
    own_placement,
    placements,
)
from loopwright.lowering.schedules.result import Result
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.tile import Begun, Store, TileKernel
from loopwright.lowering.schedules.vectors import Place
from loopwright.lowering.schedules.winograd import WinogradContraction, cut_windows
from loopwright.lowering.schedules.winograd_kernel import WinogradKernel
from loopwright.lowering.tir import Expression

CACHED_BYTES = 16 * 1024
"""Weights up to this size stay in the innermost cache and are not fetched ahead."""


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


AnyContraction = PackedContraction | WinogradContraction


def pack_contractions(
    form: OperatorForm, schedule: CpuSchedule, block_at_most: int, panel_threads: int = 0
) -> tuple[AnyContraction, ...]:
    """Tiles for every contraction whose results go to different outputs; at most ``block_at_most`` input channels lie
    side by side. With ``panel_threads`` tasks have panels of their input, for so many threads."""
    block = channel_block(form.input_shape[0], block_at_most)
    return tuple(_packed(form, contraction, schedule, block, panel_threads) for contraction in form.contractions)


def _packed(
    form: OperatorForm, contraction: Contraction, schedule: CpuSchedule, block: int, panel_threads: int
) -> AnyContraction:
    if not is_injective(form, contraction):
        return PackedContraction(general.whole_dims(contraction), tiled=False)
    filtered = cut_windows(contraction, schedule, block)
    return filtered or PackedContraction(cut(contraction, schedule, block, panel_threads), tiled=True)


@dataclass(frozen=True)
class CpuKernel:
    """The body of the kernel over given buffers. With a ``prologue``, of the channels from ``start`` on,
    the form is one that `takes_panels`."""

    form: OperatorForm
    n: int
    contractions: tuple[AnyContraction, ...]
    x: Any
    weights: tuple[Any, ...]
    out: Result
    epilogue: EpilogueBuffers
    schedule: CpuSchedule
    prologue: EpilogueBuffers | None = None
    start: int = 0

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
        stage = finish(self.form.completion, raw, self.out, self.epilogue)
        return [*allocation, general.clear(raw), *sums, stage]

    def _sum(self, packed: AnyContraction, weight: Any, raw: Any) -> tirx.Stmt:
        if not packed.tiled:
            return general.accumulate(packed.digits, self.n, self.x, weight, raw)
        return self._tiles(packed, weight, (own_placement(packed.contraction),), partial(_store_sum, Result(raw)))

    def _tiles(
        self,
        packed: AnyContraction,
        weight: Any,
        places: tuple[Placement, ...],
        store: Store,
        begun: Begun | None = None,
    ) -> tirx.Stmt:
        ahead = self.schedule.prefetch if FLOAT_BYTES * prod(packed.shape) > CACHED_BYTES else 0
        arguments = (self.n, self.x, weight, places, self.out.block, store)
        if isinstance(packed, WinogradContraction):
            return WinogradKernel(packed, *arguments, ahead).statement()
        fetching = Fetching(packed.digits, ahead, self.schedule.next_weights)
        panel = None if self.prologue is None else Panel(packed.digits, self.x, self.prologue, self.start)
        return TileKernel(packed.digits, *arguments, fetching, panel, begun, self.schedule.one_thread).statement()

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
