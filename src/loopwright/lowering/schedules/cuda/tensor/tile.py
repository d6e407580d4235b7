"""One contraction on tensor cores.

blockIdx.x: tiles of pixels, times tiles of output channels
  threadIdx.x: warps that have tiles of their own, times those that share out the input channels of each
    sums = 0
    start to copy the first steps
    for step:
      wait for its copies; start those of a later step
      sums += products of the warp's share of the step
    (where several warps share a tile: all put their sums into shared memory, and each adds up some of them)
    out[...] = epilogue(sums)

The input is truncated to tf32 by the tensor cores, which read its upper 19 bits: rounding it in registers would
cost an instruction for each element and tap, and what is lost, at most 2^-10 of every product, 2^-11.5 in the mean,
stays well below the 2e-3 of the largest output that are allowed. Weights are rounded when they are packed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.cuda.tensor.position import Position
from loopwright.lowering.schedules.cuda.tensor.ptx import barrier, commit_copies, wait_for_copies
from loopwright.lowering.schedules.cuda.tensor.results import Results, SharedSums
from loopwright.lowering.schedules.cuda.tensor.staging import Staging
from loopwright.lowering.schedules.cuda.tensor.sums import Sums
from loopwright.lowering.schedules.cuda.tensor.tiling import VECTOR, Tiling
from loopwright.lowering.schedules.placement import Placement
from loopwright.lowering.schedules.tile import Store
from loopwright.lowering.tir import Expression, bound, loop, sequence


@dataclass(frozen=True)
class TensorTile:
    """The kernel of one contraction; ``store(value, place, lanes)`` writes a result to each of its ``placements`` in an
    output of ``out_block`` channels a block."""

    tiling: Tiling
    x: Any
    weight: Any
    placements: tuple[Placement, ...]
    out_block: int
    store: Store

    def statement(self) -> tirx.Stmt:
        return bound("block", self.tiling.blocks, "blockIdx.x", self._block)

    def _block(self, block: Expression) -> tirx.Stmt:
        shared = tirx.decl_buffer((self.tiling.shared_vectors, VECTOR), "uint32", "staged", scope="shared.dyn")

        def thread(number: Expression) -> tirx.Stmt:
            return sequence(list(self._thread(Position(self.tiling, block, number), shared)))

        return sequence(
            [tirx.AllocBuffer(shared), bound("thread", self.tiling.schedule.threads, "threadIdx.x", thread)]
        )

    def _thread(self, position: Position, shared: Any) -> Iterator[tirx.Stmt]:
        staging = Staging(self.tiling, self.x, self.weight, shared, position)
        sums = Sums.of(self.tiling)
        values = tirx.decl_buffer((VECTOR,), "float32", "values", scope="local")
        results = Results(self.tiling, position, self.placements, self.out_block, self.store, values)
        yield tirx.AllocBuffer(values)
        yield from sums.begin(position)
        yield from self._start(staging)
        yield loop(
            "step", self.tiling.sum.steps, lambda step: sequence(list(self._step(step, sums, staging, position)))
        )
        shared_sums = SharedSums(self.tiling, position, shared)
        yield from shared_sums.add_up(sums, results) if self.tiling.schedule.share > 1 else results.store_all(sums)

    def _start(self, staging: Staging) -> Iterator[tirx.Stmt]:
        """The copies of the first steps, each a group."""
        for step in range(self.tiling.schedule.stages - 1):
            if step < self.tiling.sum.steps:
                yield staging.ahead(step)
            yield commit_copies()

    def _step(self, step: Expression, sums: Sums, staging: Staging, position: Position) -> Iterator[tirx.Stmt]:
        """A barrier for each step: behind it all threads' copies for the step are done, and nobody reads the step
        before any more, whose place the new copies take."""
        ahead = self.tiling.schedule.stages - 1
        yield wait_for_copies(ahead - 1)
        yield barrier()
        if ahead < self.tiling.sum.steps:
            later = staging.ahead(step + ahead)
            yield tirx.IfThenElse(step + ahead < self.tiling.sum.steps, later, None)
        yield commit_copies()
        yield from sums.add(step, staging, position)
