"""One contraction as a grid of register tiles.

blockIdx.x: tiles of the output and images
  threadIdx.x: register tiles, times the threads that share the reduction of each
    tile[channel, row, column] = 0
    tile += the thread's part of the reduction
    (where several share it: all put their sums into shared memory, and each adds up some of the tile's vectors)
    out[...] = epilogue(tile)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.cuda.reduction import LOCAL, Prologue, ThreadReduction, points
from loopwright.lowering.schedules.digits import Digit, Digits
from loopwright.lowering.schedules.placement import Placement
from loopwright.lowering.schedules.registers import Registers, registers
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.source import Source
from loopwright.lowering.schedules.tile import Store, copies
from loopwright.lowering.schedules.vectors import whole_vector
from loopwright.lowering.tir import Expression, bound, loop, ramp, sequence, unflatten, zero


@dataclass(frozen=True)
class CudaTile:
    """The kernel of one contraction for ``n`` images; ``store(value, place, lanes)`` writes a result to each of its
    ``placements`` in an output of ``out_block`` channels a block. With a ``prologue`` that comes before it."""

    digits: Digits
    n: int
    x: Any
    weight: Any
    placements: tuple[Placement, ...]
    out_block: int
    store: Store
    prologue: Prologue | None = None

    def statement(self) -> tirx.Stmt:
        grid = self.digits.of("block")
        extents = [self.n, *(digit.extent for digit in grid)]

        def block(number: Expression) -> tirx.Stmt:
            image, *at = unflatten(number, extents)
            return self._block(_bound_all(Scope(variables={"image": image}), grid, at))

        return bound("block", prod(extents), "blockIdx.x", block)

    @property
    def _source(self) -> Source:
        return Source(self.x, self.digits.input_axes)

    @property
    def sharing(self) -> int:
        """How many threads share the reduction of a tile."""
        return self.digits.extent("share")

    def _block(self, scope: Scope) -> tirx.Stmt:
        tile = registers(self.digits, LOCAL)
        tiles, vectors = self.digits.extent("thread"), tile.channels * tile.rows * tile.columns
        shape = (vectors, self.sharing, tiles, tile.lanes)
        sums = tirx.decl_buffer(shape, "float32", "sums", scope="shared")

        def thread(number: Expression) -> tirx.Stmt:
            share, own = unflatten(number, [self.sharing, tiles])
            return self._thread(scope, tile, sums, share, own)

        threads = bound("thread", self.sharing * tiles, "threadIdx.x", thread)
        return sequence([tirx.AllocBuffer(sums), threads]) if self.sharing > 1 else threads

    def _thread(self, scope: Scope, tile: Registers, sums: Any, share: Expression, own: Expression) -> tirx.Stmt:
        for kind, number in (("share", share), ("thread", own)):
            digits = self.digits.of(kind)
            scope = _bound_all(scope, digits, unflatten(number, [digit.extent for digit in digits]))
        reduction = ThreadReduction(self.digits, self._source, self.weight, tile, self.prologue)
        cleared = tile.fill([zero(tile.lanes)] * tile.channels)
        added = [*tile.allocations(), *cleared, reduction.statement(scope)]
        if self.sharing == 1:
            return sequence([*added, *self._write(scope, tile)])
        return sequence([*added, *self._keep(tile, sums, share, own), self._add_up(scope, tile, sums, share, own)])

    def _write(self, scope: Scope, tile: Registers) -> Iterator[tirx.Stmt]:
        """Stores all vectors of the tile."""
        for point in points(self.digits.of("channel", "row", "column")):
            channel, row, column = self._numbers(point)
            yield from self._store(scope.fix(point), tile.array(channel, row), [column])

    def _numbers(self, point: dict[str, int]) -> tuple[int, int, int]:
        channel, row, column = (
            sum(point[digit.name] for digit in self.digits.of(kind)) for kind in ("channel", "row", "column")
        )
        return channel, row, column

    def _keep(self, tile: Registers, sums: Any, share: Expression, own: Expression) -> Iterator[tirx.Stmt]:
        """Puts the thread's sums where the threads that share its tile find them."""
        for vector, point in enumerate(points(self.digits.of("channel", "row", "column"))):
            value = tile.load(*self._numbers(point))
            yield tirx.BufferStore(sums, value, [vector, share, own, ramp(0, tile.lanes)])

    def _add_up(self, scope: Scope, tile: Registers, sums: Any, share: Expression, own: Expression) -> tirx.Stmt:
        """Each of the threads that share a tile adds up and stores its part of the tile's vectors."""
        digits = self.digits.of("channel", "row", "column")
        extents = [digit.extent for digit in digits]
        vectors = prod(extents)
        total = tirx.decl_buffer((tile.lanes,), "float32", "total", scope=LOCAL)
        lanes = ramp(0, tile.lanes)

        def add(vector: Expression) -> tirx.Stmt:
            first = tirx.BufferStore(total, zero(tile.lanes), [lanes])

            def step(other: Expression) -> tirx.Stmt:
                kept = tirx.BufferLoad(sums, [vector, other, own, lanes])
                return tirx.BufferStore(total, tirx.BufferLoad(total, [lanes]) + kept, [lanes])

            at = _bound_all(scope, digits, unflatten(vector, extents))
            stores = self._store(at, total, [])
            return sequence([tirx.AllocBuffer(total), first, loop("other", self.sharing, step), *stores])

        def turn(number: Expression) -> tirx.Stmt:
            vector = number * self.sharing + share
            return add(vector) if vectors % self.sharing == 0 else tirx.IfThenElse(vector < vectors, add(vector), None)

        return loop("turn", -(-vectors // self.sharing), turn)

    def _store(self, scope: Scope, results: Any, at: list[Expression]) -> Iterator[tirx.Stmt]:
        """The lanes of ``results`` at a place of it, to all places where they go."""
        lanes = self.digits.extent("lane")
        for copy in copies(self.digits, self.placements):
            whole = whole_vector(self.out_block, copy, scope)
            width = lanes if whole else 1
            for lane in range(0, lanes, width):
                value = tirx.BufferLoad(results, [*at, ramp(lane, width)])
                yield self.store(value, copy.place(scope, self.out_block, lane), width)


def _bound_all(scope: Scope, digits: Sequence[Digit], values: Sequence[Expression]) -> Scope:
    for digit, value in zip(digits, values, strict=True):
        scope = scope.bind(digit, value)
    return scope
