"""The GPU kernel of a whole form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.epilogue import EpilogueBuffers
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules import general
from loopwright.lowering.schedules.cuda.cutting import cut
from loopwright.lowering.schedules.cuda.reduction import Prologue
from loopwright.lowering.schedules.cuda.schedule import CudaSchedule
from loopwright.lowering.schedules.cuda.tensor.packing import TensorContraction, pack_for_tensor_cores
from loopwright.lowering.schedules.cuda.tensor.schedule import TensorSchedule
from loopwright.lowering.schedules.cuda.tensor.tile import TensorTile
from loopwright.lowering.schedules.cuda.tensor.tiling import Tiling
from loopwright.lowering.schedules.cuda.tile import CudaTile
from loopwright.lowering.schedules.form_kernel import FormKernel, PackedContraction
from loopwright.lowering.schedules.placement import Placement, is_injective
from loopwright.lowering.schedules.tile import Begun, Store


def pack_for_gpu(
    form: OperatorForm, schedule: CudaSchedule | TensorSchedule, block_at_most: int
) -> tuple[PackedContraction | TensorContraction, ...]:
    """Tiles for every contraction whose results go to different outputs; at most ``block_at_most`` input channels lie
    side by side. Raises `ValueError` where a schedule for tensor cores does not fit."""
    block = channel_block(form.input_shape[0], block_at_most)
    if isinstance(schedule, TensorSchedule):
        return pack_for_tensor_cores(form, schedule, block)
    return tuple(
        PackedContraction(cut(contraction, schedule, block), tiled=True)
        if is_injective(form, contraction)
        else PackedContraction(general.whole_dims(contraction), tiled=False)
        for contraction in form.contractions
    )


@dataclass(frozen=True)
class CudaKernel(FormKernel):
    """A grid for each contraction and stage, one after the other. With a ``prologue``, of the channels from ``start``
    on, every contraction is tiled."""

    prologue: EpilogueBuffers | None = None
    start: int = 0

    def _tiles(
        self,
        packed: Any,
        weight: Any,
        places: tuple[Placement, ...],
        store: Store,
        begun: Begun | None = None,
    ) -> tirx.Stmt:
        del begun  # the shift is added by the epilogue
        if isinstance(packed, TensorContraction):
            tiling = Tiling(packed.sum, self.n)
            return TensorTile(tiling, self.x, weight, places, self.out.block, store).statement()
        prologue = None if self.prologue is None else Prologue(self.prologue, self.start)
        return CudaTile(packed.digits, self.n, self.x, weight, places, self.out.block, store, prologue).statement()
