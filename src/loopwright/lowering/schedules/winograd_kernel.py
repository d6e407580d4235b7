"""The kernel of a contraction under minimal filtering: transformed inputs, a matrix product at each position, outputs.

parallel task, some tiles:
  for tile, input block:    transformed[position, tile, channel] = B^T d B
  for position, out block:  (a matrix product; held is in registers)
    held[channel, tile] += transformed[position, tile, ci] * weight[position, ci, channel]
    products[position, channel, tile] = held
  for tile, out vector:     out[...] = epilogue(A^T products A)

``transformed`` and ``products`` stay in the core's cache. Where weights are large and tiles few, tasks share out the
output channels instead, after all tiles were transformed; then no weight is read twice. Tiles at the border read zeros
from outside of the input and store what lies inside of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from typing import Any

from tvm import tirx

from loopwright.lowering.schedules.combinations import Vectors, combine_both, share
from loopwright.lowering.schedules.digits import Digit
from loopwright.lowering.schedules.packing import packed_vector
from loopwright.lowering.schedules.placement import Placement
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.tile import Store
from loopwright.lowering.schedules.vectors import Lanes, whole_vector
from loopwright.lowering.schedules.winograd import WinogradContraction
from loopwright.lowering.tir import Expression, loop, parallel, prefetch, ramp, sequence, splat, unrolled, zero

ROW, COLUMN = 2, 3
"""Axes of stored activations."""


@dataclass(frozen=True)
class WinogradKernel:
    """As `loopwright.lowering.schedules.tile.TileKernel`, for a contraction cut for minimal filtering."""

    cut: WinogradContraction
    n: int
    x: Any
    weight: Any
    placements: tuple[Placement, ...]
    out_block: int
    store: Store
    prefetch: int

    def statement(self) -> tirx.Stmt:
        if self.cut.by_channel:
            return loop("image", self.n, self._image)
        return parallel("task", [self.n, self.cut.groups], lambda at: self._tiles_task(*at))

    def _tiles_task(self, image: Expression, task: Expression) -> tirx.Stmt:
        """All output channels of some tiles."""
        tiles = self.cut.tiles
        transformed, products = self._transformed(tiles), self._products(self.cut.walked, tiles)
        first, scope = task * tiles, Scope(variables={"image": image})
        multiply = partial(self._multiply, transformed, products, 0)
        stages = [
            loop("tile", tiles, lambda tile: self._read(transformed, image, first + tile, tile)),
            self._walk(scope, self.cut.digits.of("position", "block"), multiply),
            loop("tile", tiles, lambda tile: self._write(products, scope, first + tile, tile)),
        ]
        return sequence([tirx.AllocBuffer(transformed), tirx.AllocBuffer(products), *stages])

    def _image(self, image: Expression) -> tirx.Stmt:
        """All tiles of an image, then all of its output channels."""
        transformed, tiles = self._transformed(self.cut.grid_size), self.cut.grid_size
        read = parallel("tile", [tiles], lambda at: self._read(transformed, image, *at, *at))
        blocks = self.cut.digits.of("block")
        multiply = parallel(
            "task", [digit.extent for digit in blocks], lambda at: self._channels_task(transformed, image, at)
        )
        return sequence([tirx.AllocBuffer(transformed), read, multiply])

    def _channels_task(self, transformed: Any, image: Expression, at: tuple[Expression, ...]) -> tirx.Stmt:
        """Some output channels of all tiles."""
        products = self._products(self.cut.walked, self.cut.grid_size)
        scope = Scope(variables={"image": image})
        for digit, index in zip(self.cut.digits.of("block"), at, strict=True):
            scope = scope.bind(digit, index)

        def groups(scope: Scope) -> tirx.Stmt:
            def multiply(group: Expression) -> tirx.Stmt:
                return self._multiply(transformed, products, group * self.cut.tiles, scope)

            return loop("group", self.cut.groups, multiply)

        stages = [
            self._walk(scope, self.cut.digits.of("position"), groups),
            loop("tile", self.cut.grid_size, lambda tile: self._write(products, scope, tile, tile)),
        ]
        return sequence([tirx.AllocBuffer(products), *stages])

    def _transformed(self, tiles: int) -> Any:
        shape = (self.cut.filtering.window**2, tiles, self.cut.read_blocks * self._block)
        return tirx.decl_buffer(shape, "float32", "transformed")

    def _products(self, digits: Sequence[Digit], tiles: int) -> Any:
        vectors = prod(digit.extent for digit in digits)
        return tirx.decl_buffer((self.cut.filtering.window**2, vectors, tiles, self._lanes), "float32", "products")

    @cached_property
    def _block(self) -> int:
        """Channels of a block of the input."""
        return int(self.x.shape[4])

    @cached_property
    def _lanes(self) -> int:
        return self.cut.digits.extent("lane")

    def _at_tile(self, scope: Scope, number: Expression) -> Scope:
        rows, columns = self.cut.digits.of("tile")
        return scope.bind(rows, number // columns.extent).bind(columns, number % columns.extent)

    def _walk(self, scope: Scope, digits: Sequence[Digit], body: Callable[[Scope], tirx.Stmt]) -> tirx.Stmt:
        """A loop for every digit around ``body``."""
        if not digits:
            return body(scope)
        digit, *inner = digits
        return loop(digit.name, digit.extent, lambda index: self._walk(scope.bind(digit, index), inner, body))

    def _read(self, transformed: Any, image: Expression, number: Expression, tile: Expression) -> tirx.Stmt:
        """``transformed`` of tile ``number``, kept at ``tile``; tiles at the border have code of their own."""
        scope = self._at_tile(Scope(), number)
        rows, columns = self._inputs(scope, ROW), self._inputs(scope, COLUMN)
        height, width = int(self.x.shape[ROW]), int(self.x.shape[COLUMN])
        inside = tirx.all(rows[0] >= 0, rows[-1] < height, columns[0] >= 0, columns[-1] < width)

        def pixel(number: Expression, row: Expression, column: Expression) -> Expression:
            place = [image, number + self.cut.first_block, row, column, ramp(0, self._block)]
            return tirx.BufferLoad(self.x, place)

        def pixel_or_zero(number: Expression, row: Expression, column: Expression) -> Expression:
            nearest = (tirx.max(0, tirx.min(row, height - 1)), tirx.max(0, tirx.min(column, width - 1)))
            within = tirx.all(row >= 0, row < height, column >= 0, column < width)
            return tirx.Select(splat(within, self._block), pixel(number, *nearest), zero(self._block))

        def block(number: Expression) -> tirx.Stmt:
            def transform(load: Callable[..., Expression]) -> tirx.Stmt:
                values = [[load(number, row, column) for column in columns] for row in rows]
                return self._transform_input(values, transformed, tile, number * self._block)

            return tirx.IfThenElse(inside, transform(pixel), transform(pixel_or_zero))

        return loop("read", self.cut.read_blocks, block)

    def _inputs(self, scope: Scope, axis: int) -> list[Expression]:
        """The rows or columns of the input that a tile reads."""
        digit = self.cut.digits.of("tile")[axis - ROW]
        first = scope.variables[digit.name] * digit.step + self.cut.contraction.input_offset[axis - 1]
        return [first + k for k in range(self.cut.filtering.window)]

    def _transform_input(
        self, values: list[list[Expression]], transformed: Any, tile: Expression, channel: Expression
    ) -> tirx.Stmt:
        filtering, lanes = self.cut.filtering, self._block

        def keep(i: int, j: int, value: Expression) -> tirx.Stmt:
            return tirx.BufferStore(transformed, value, [i * filtering.window + j, tile, ramp(channel, lanes)])

        return sequence(list(combine_both(share(filtering.input), values, keep, lanes)))

    def _multiply(self, transformed: Any, products: Any, first: Expression, scope: Scope) -> tirx.Stmt:
        """The products of one position, summed over input channels, for the register tile that starts at tile
        ``first``."""
        digits, tiles = self.cut.digits, self.cut.tiles
        (channel,) = digits.of("channel")
        held = [Vectors.named(f"held{c}", tiles, self._lanes) for c in range(channel.extent)]
        place = [self._position(scope), *[self._vector(scope.bind(channel, c)) for c in range(channel.extent)]]

        def keep(c: int, t: Expression) -> tirx.Stmt:
            return tirx.BufferStore(
                products, held[c].load(t), [place[0], place[1 + c], first + t, ramp(0, self._lanes)]
            )

        clear = [unrolled("t", 0, tiles, partial(own.store, value=zero(self._lanes))) for own in held]
        sums = self._walk(scope, digits.of("reduce"), partial(self._update, transformed, held, first))
        kept = [unrolled("t", 0, tiles, partial(keep, c)) for c in range(channel.extent)]
        return sequence([*(own.allocation for own in held), *clear, sums, *kept])

    def _update(self, transformed: Any, held: Sequence[Vectors], first: Expression, scope: Scope) -> tirx.Stmt:
        """Adds the products of one input channel."""
        digits, lanes = self.cut.digits, self._lanes
        (digit,) = digits.of("channel")
        vectors = [scope.bind(digit, c).value(packed_vector(digits)) for c in range(digit.extent)]
        channel = scope.value(digits.input_axes[0]) - self.cut.first_block * self._block
        position = self._position(scope)

        def tile(t: Expression) -> tirx.Stmt:
            value = splat(tirx.BufferLoad(transformed, [position, first + t, channel]), lanes)
            weights = [tirx.BufferLoad(self.weight, [vector, ramp(0, lanes)]) for vector in vectors]
            return sequence(
                [own.store(t, own.load(t) + value * weight) for own, weight in zip(held, weights, strict=True)]
            )

        ahead = [prefetch(tirx.BufferLoad(self.weight, [v + self.prefetch, 0])) for v in vectors if self.prefetch]
        return sequence([*ahead, unrolled("t", 0, self.cut.tiles, tile)])

    def _position(self, scope: Scope) -> Expression:
        rows, columns = self.cut.digits.of("position")
        return scope.variables[rows.name] * columns.extent + scope.variables[columns.name]

    def _vector(self, scope: Scope) -> Expression:
        """The number of a vector among those of a task."""
        number: Expression = 0
        for digit in self.cut.walked:
            number = number * digit.extent + scope.variables[digit.name]
        return number

    def _write(self, products: Any, scope: Scope, number: Expression, tile: Expression) -> tirx.Stmt:
        """The outputs of tile ``number``, whose products are at ``tile``."""
        transform = partial(self._transform_output, products, tile)
        return self._walk(self._at_tile(scope, number), self.cut.walked, transform)

    def _transform_output(self, products: Any, tile: Expression, scope: Scope) -> tirx.Stmt:
        filtering, vector = self.cut.filtering, self._vector(scope)
        places = range(filtering.window)

        def product(i: int, j: int) -> Expression:
            return tirx.BufferLoad(products, [i * filtering.window + j, vector, tile, ramp(0, self._lanes)])

        values = [[product(i, j) for j in places] for i in places]
        return sequence(list(combine_both(share(filtering.output), values, partial(self._store, scope), self._lanes)))

    def _store(self, scope: Scope, row: int, column: int, value: Expression) -> tirx.Stmt:
        """Stores a vector of the tile at all of its places, if it lies inside of the output."""
        tiles, points = self.cut.digits.of("tile"), self.cut.digits.of("point")
        guards = [
            scope.variables[tile.name] * tile.step + at < self.cut.extent(tile)
            for tile, at in zip(tiles, (row, column), strict=True)
            if tile.extent * tile.step > self.cut.extent(tile)
        ]
        scope = scope.fix({point.name: at for point, at in zip(points, (row, column), strict=True)})
        stores = sequence([store for lanes in self._copies() for store in self._stores(scope, lanes, value)])
        return tirx.IfThenElse(tirx.all(*guards), stores, None) if guards else stores

    def _stores(self, scope: Scope, lanes: Lanes, value: Expression) -> Iterator[tirx.Stmt]:
        """One store, or where the lanes do not lie together in a block one for each."""
        if whole_vector(self.out_block, lanes, scope):
            yield self.store(value, lanes.place(scope, self.out_block, 0), self._lanes)
            return
        for lane in range(self._lanes):
            yield self.store(tirx.Shuffle([value], [lane]), lanes.place(scope, self.out_block, lane), 1)

    def _copies(self) -> Iterator[Lanes]:
        """All places of a vector."""
        digits = self.cut.digits
        for placement in self.placements:
            offsets = digits.lane_offsets(step[0] for step in placement.steps)
            yield Lanes(digits.first_lane(digits.combine(placement.steps, placement.offset)), offsets)
