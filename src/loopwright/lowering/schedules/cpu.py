"""The CPU kernel of a whole form: its contractions by register tiles or minimal filtering."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from tvm import tirx

from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.epilogue import EpilogueBuffers
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules import general
from loopwright.lowering.schedules.digits import cut
from loopwright.lowering.schedules.fetching import CACHED_BYTES, Fetching
from loopwright.lowering.schedules.form_kernel import FormKernel, PackedContraction
from loopwright.lowering.schedules.panel import Panel
from loopwright.lowering.schedules.placement import Placement, is_injective
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.lowering.schedules.tile import Begun, Store, TileKernel
from loopwright.lowering.schedules.winograd import WinogradContraction, cut_windows
from loopwright.lowering.schedules.winograd_kernel import WinogradKernel

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
class CpuKernel(FormKernel):
    """With a ``prologue``, of the channels from ``start`` on, the form is one that `takes_panels`."""

    schedule: CpuSchedule
    prologue: EpilogueBuffers | None = None
    start: int = 0

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
        asks = self.schedule.prefetch > 0
        return TileKernel(packed.digits, *arguments, fetching, panel, begun, self.schedule.one_thread, asks).statement()
