"""One thread's part of the reduction of its register tile.

    for reduce:
      for tap, inner, row, column, channel:      (written out)
        tile[channel, row, column] += x[row, column, tap, inner] * weight[tap, inner, channel]

An element that several taps read is read once, into a register; outside of the input it is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from tvm import tirx

from loopwright.ir.affine import Affine
from loopwright.lowering.epilogue import EpilogueBuffers
from loopwright.lowering.schedules.digits import Digit, Digits
from loopwright.lowering.schedules.packing import packed_vector
from loopwright.lowering.schedules.registers import Registers
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.source import Source
from loopwright.lowering.schedules.vectors import Lanes, Place, whole_vector
from loopwright.lowering.tir import Expression, loop, ramp, sequence, splat, zero

LOCAL = "local"


@dataclass(frozen=True)
class Prologue:
    """What happens to every element of the input before the contraction; its parameters count the channels from number
    ``start`` on."""

    buffers: EpilogueBuffers
    start: int

    def apply(self, value: Expression, place: Place, block: int, lanes: int) -> Expression:
        """The ``lanes`` elements from ``place`` on, of an input with ``block`` channels a block."""
        image, number, row, column, inner = place
        return self.buffers.apply(value, (image, number - self.start // block, row, column, inner), lanes)


@dataclass(frozen=True)
class ThreadReduction:
    """Adds the products of all reduction digits that are the thread's to ``tile``."""

    digits: Digits
    source: Source
    weight: Any
    tile: Registers
    prologue: Prologue | None = None

    def statement(self, scope: Scope) -> tirx.Stmt:
        return self._nest(scope, self.digits.of("reduce"))

    def _nest(self, scope: Scope, levels: tuple[Digit, ...]) -> tirx.Stmt:
        if not levels:
            return sequence(list(self._written_out(scope)))
        digit, inner = levels[0], levels[1:]
        return loop(digit.name, digit.extent, lambda i: self._nest(scope.bind(digit, i), inner))

    def _written_out(self, scope: Scope) -> Iterator[tirx.Stmt]:
        held = Held(self.source, self._offsets(), self.prologue)
        factors = tirx.decl_buffer((self.tile.channels, self.tile.lanes), "float32", "factors", scope=LOCAL)
        body: list[tirx.Stmt] = []
        for taps in points(self.digits.of("tap")):
            read = {pixel: held.slot(self._first(scope.fix(taps | at))) for pixel, at in self._pixels()}
            body += held.new_loads()
            for inner in points(self.digits.of("inner")):
                body += self._products(scope.fix(taps | inner), factors, held, read, sum(inner.values()))
        yield tirx.AllocBuffer(factors)
        yield from held.allocations()
        yield from body

    def _offsets(self) -> tuple[int, ...]:
        """What the elements of a vector of the input add to the channel: of ``inner`` channels, or of each lane, one
        element where all lanes read the same."""
        inner = self.digits.of("inner")
        if inner:
            return tuple(range(inner[0].extent))
        lanes = self.digits.lane_offsets([dim.input[0] for dim in self.digits.contraction.dims])
        return lanes if any(lanes) else (0,)

    def _first(self, scope: Scope) -> Scope:
        return scope.fix({digit.name: 0 for digit in self.digits.of("inner", "lane", "channel")})

    def _pixels(self) -> Iterator[tuple[tuple[int, int], dict[str, int]]]:
        """The rows and columns of the tile, and the digits that they fix."""
        for row, column in product(range(self.tile.rows), range(self.tile.columns)):
            fixed = {digit.name: row for digit in self.digits.of("row")}
            yield (row, column), fixed | {digit.name: column for digit in self.digits.of("column")}

    def _products(
        self, scope: Scope, factors: Any, held: Held, read: dict[tuple[int, int], int | None], number: int
    ) -> Iterator[tirx.Stmt]:
        """The products of one tap and one input channel (``number`` of its vector), or of one channel a lane."""
        used = {pixel: slot for pixel, slot in read.items() if slot is not None}
        if not used:
            return
        lanes, mixed = self.tile.lanes, any(held.offsets) and not self.digits.of("inner")
        for channel in range(self.tile.channels):
            own = scope.fix({digit.name: channel for digit in self.digits.of("channel")})
            vector = tirx.BufferLoad(self.weight, [own.value(packed_vector(self.digits)), ramp(0, lanes)])
            yield tirx.BufferStore(factors, vector, [channel, ramp(0, lanes)])
        for (row, column), slot in used.items():
            value = held.vector(slot) if mixed else splat(held.element(slot, number), lanes)
            for channel in range(self.tile.channels):
                product_ = value * tirx.BufferLoad(factors, [channel, ramp(0, lanes)])
                yield self.tile.store(self.tile.load(channel, row, column) + product_, channel, row, column)


@dataclass
class Held:
    """Vectors of the input in registers, by where they were read; ``offsets`` are of the channels of a vector."""

    source: Source
    offsets: tuple[int, ...]
    prologue: Prologue | None
    _slots: dict[tuple[Affine, ...], int | None] = field(default_factory=dict)
    _buffers: list[Any] = field(default_factory=list)
    _new: list[tirx.Stmt] = field(default_factory=list)

    def slot(self, scope: Scope) -> int | None:
        """The number of the register of what an instance reads; None where that is surely outside of the input."""
        place = tuple(scope.resolve(axis) for axis in self.source.axes)
        if place not in self._slots:
            self._slots[place] = self._read(scope)
        return self._slots[place]

    def new_loads(self) -> list[tirx.Stmt]:
        """The loads that were asked for since this was called last."""
        new, self._new = self._new, []
        return new

    def allocations(self) -> Iterator[tirx.Stmt]:
        return (tirx.AllocBuffer(buffer) for buffer in self._buffers)

    def element(self, slot: int, number: int) -> Expression:
        return tirx.BufferLoad(self._buffers[slot], [number])

    def vector(self, slot: int) -> Expression:
        return tirx.BufferLoad(self._buffers[slot], [ramp(0, len(self.offsets))])

    def _read(self, scope: Scope) -> int | None:
        bounds = ((self.source.axes[1], self.source.rows), (self.source.axes[2], self.source.columns))
        guards = [scope.check(*pair) for pair in bounds]
        if False in guards:
            return None
        conditions = [guard for guard in guards if guard is not True]
        slot, count = len(self._buffers), len(self.offsets)
        buffer = tirx.decl_buffer((count,), "float32", f"read_{slot}", scope=LOCAL)
        self._buffers.append(buffer)
        block, lanes = int(self.source.buffer.shape[4]), Lanes(self.source.axes, self.offsets)
        if whole_vector(block, lanes, scope):
            number, inner = scope.blocked(lanes.channel, block)
            loads = [(0, lanes.in_block(scope, number, scope.value(inner)), count)]
        else:
            loads = [(k, lanes.place(scope, block, k), 1) for k in range(count)]
        for at, place, width in loads:
            value = tirx.BufferLoad(self.source.buffer, [*place[:-1], ramp(place[-1], width)])
            value = value if self.prologue is None else self.prologue.apply(value, place, block, width)
            if conditions:
                value = tirx.if_then_else(tirx.all(*conditions), value, zero(width))
            self._new.append(tirx.BufferStore(buffer, value, [ramp(at, width)]))
        return slot


def points(digits: tuple[Digit, ...]) -> Iterator[dict[str, int]]:
    """All values of the digits together."""
    for point in product(*(range(digit.extent) for digit in digits)):
        yield {digit.name: number for digit, number in zip(digits, point, strict=True)}
