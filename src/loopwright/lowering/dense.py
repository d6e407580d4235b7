"""An operator as dense convolutions over parts of its output, zeros standing where a restriction dropped weights.

A *piece* is a part of a contraction whose weights are the same wherever it writes. Output rows fall into classes that
take their values from the same pieces and channels, and so do columns; each class of rows with each class of columns
is a *region*, which one dense convolution computes. Outputs that repeat others repeat rows of the weight where they
take another channel, and lines of the result where they take another place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd, prod

import numpy as np

from loopwright.ir.contraction import Contraction, Dim, OperatorForm
from loopwright.ir.interpreter import completion_table
from loopwright.ir.lattice import Point
from loopwright.lowering.torch_contraction import Window

LINES = (1, 2)
"""The axes of rows and columns, of a form over (channel, row, column)."""
MOST_PIECES = 64
MOST_REGIONS = 32


@dataclass(frozen=True, eq=False)
class Region:
    """One dense convolution. Its weight, (output channel, row, column, input channel) as ``shape``, is zero but at the
    flat ``places``, which take the stored weights ``stored``; output channels are then selected by ``channels``.
    ``windows`` are what it reads along rows and columns, and ``lines`` which of its results each line takes. ``None``
    stands for all in order."""

    windows: tuple[Window, Window]
    shape: Point
    places: np.ndarray | None
    stored: np.ndarray | None
    channels: np.ndarray | None
    lines: tuple[np.ndarray | None, np.ndarray | None]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, those with zeros too."""
        outputs = self.shape[0] if self.channels is None else len(self.channels)
        return outputs * prod(self.shape[1:]) * prod(window.outputs for window in self.windows)


@dataclass(frozen=True, eq=False)
class DensePlan:
    """``regions[i][j]`` is class ``i`` of the rows with class ``j`` of the columns; ``order`` gives for rows and for
    columns the place of each line among the classes one after the other, ``None`` if it is its own."""

    regions: tuple[tuple[Region, ...], ...]
    order: tuple[np.ndarray | None, np.ndarray | None]

    @property
    def convolutions(self) -> int:
        """How many there are."""
        return sum(map(len, self.regions))

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, those with zeros too."""
        return sum(region.macs for row in self.regions for region in row)


def dense_plan(form: OperatorForm, numbers: Sequence[np.ndarray]) -> DensePlan | None:
    """The plan for a form over (channel, row, column); ``numbers`` says for each contraction which stored weights
    its dense weight consists of. ``None`` where pieces aren't plain windows, lines depend on one another, or there
    would be too many."""
    if len(form.output_shape) != 1 + len(LINES) or form.two_inputs:
        return None
    strides = [_stride(form, axis) for axis in LINES]
    parts = [_pieces(*part, form.output_shape, strides) for part in zip(form.contractions, numbers, strict=True)]
    pieces = [piece for part in parts if part is not None for piece in part]
    sources = _separated(form)
    if any(part is None for part in parts) or len(pieces) > MOST_PIECES or sources is None:
        return None
    classes = [_classes(pieces, sources, axis) for axis in range(len(LINES))]
    if prod(map(len, classes)) > MOST_REGIONS:
        return None
    regions = [
        [_region(pieces, sources, strides, form, lines) for lines in product([r], classes[1])] for r in classes[0]
    ]
    known = tuple(tuple(region for region in row if region is not None) for row in regions)
    if sum(map(len, known)) < sum(map(len, regions)):
        return None
    order = [_unless_in_order(np.argsort(np.concatenate(lines), kind="stable")) for lines in classes]
    return DensePlan(known, (order[0], order[1]))


@dataclass(frozen=True, eq=False)
class _Piece:
    """Written at all of ``written`` rows and columns (a mask for each). Its weights start at ``start`` (output channel,
    row and column of the input less the stride times those of the output, input channel) and step by ``steps``;
    ``stored`` numbers them, one axis for each step."""

    written: tuple[np.ndarray, np.ndarray]
    start: Point
    steps: tuple[Point, ...]
    stored: np.ndarray

    def bounds(self, axis: int) -> tuple[int, int]:
        """The least and the greatest coordinate of a weight."""
        reach = [(extent - 1) * step[axis] for extent, step in zip(self.stored.shape, self.steps, strict=True)]
        return self.start[axis] + sum(min(0, by) for by in reach), self.start[axis] + sum(max(0, by) for by in reach)


def _stride(form: OperatorForm, axis: int) -> int:
    """Input positions from one output position to the next."""
    for contraction in form.contractions:
        for dim in contraction.of("pixel"):
            if dim.output[axis]:
                return max(1, dim.input[axis] // dim.output[axis])
    return max(1, form.input_shape[axis] // form.output_shape[axis])


def _pieces(contraction: Contraction, numbers: np.ndarray, shape: Point, strides: Sequence[int]) -> list[_Piece] | None:
    """``None`` where pixels don't move along one axis each by its stride, or there are too many pieces."""
    pixels = contraction.of("pixel")
    weights = [dim for dim in contraction.dims if dim.in_weight]
    moving = [k for k, dim in enumerate(weights) if any(dim.output[axis] for axis in LINES)]
    others = [k for k in range(len(weights)) if k not in moving]
    points = [weights[k].extent for k in moving]
    if not all(_plain(dim, strides) for dim in pixels) or prod(points) > MOST_PIECES:
        return None
    steps = tuple(_step(weights[k].output, weights[k].input, (0, 0)) for k in others)
    ordered = numbers.reshape(contraction.weight_shape).transpose([*moving, *others])
    found = []
    for point in product(*map(range, points)):
        written = _moved(contraction.output_offset, [weights[k].output for k in moving], point)
        read = _moved(contraction.input_offset, [weights[k].input for k in moving], point)
        rows, columns = (_written(written[axis], pixels, axis, shape[axis]) for axis in LINES)
        found.append(_Piece((rows, columns), _step(written, read, strides), steps, ordered[point]))
    return found


def _plain(pixel: Dim, strides: Sequence[int]) -> bool:
    moved = [axis for axis in range(len(pixel.output)) if pixel.output[axis] or pixel.input[axis]]
    if len(moved) != 1 or moved[0] not in LINES:
        return False
    (axis,) = moved
    return pixel.input[axis] == strides[LINES.index(axis)] * pixel.output[axis]


def _step(written: Point, read: Point, strides: Sequence[int]) -> Point:
    """Output channel, row and column of the input relative to those of the output, input channel."""
    taps = (read[axis] - stride * written[axis] for axis, stride in zip(LINES, strides, strict=True))
    return (written[0], *taps, read[0])


def _moved(start: Point, steps: Sequence[Point], point: Point) -> Point:
    moves = (tuple(by * k for by in step) for step, k in zip(steps, point, strict=True))
    return tuple(map(sum, zip(start, *moves, strict=True)))


def _written(start: int, pixels: Sequence[Dim], axis: int, size: int) -> np.ndarray:
    """A mask of the lines that the pixels write from ``start`` on."""
    at = np.array([start])
    for dim in pixels:
        if dim.output[axis]:
            at = np.add.outer(at, np.arange(dim.extent) * dim.output[axis]).ravel()
    return np.isin(np.arange(size), at)


def _separated(form: OperatorForm) -> list[np.ndarray] | None:
    """Where outputs take their values from: channels (output's shape), row of each row, column of each column;
    ``None`` if rows and columns depend on more than themselves."""
    table = completion_table(form.completion, form.output_shape)
    channels, *places = np.unravel_index(table, form.output_shape)
    lines = [
        np.moveaxis(place, axis, 0).reshape(place.shape[axis], -1) for axis, place in zip(LINES, places, strict=True)
    ]
    if any((line != line[:, :1]).any() for line in lines):
        return None
    return [channels, *(line[:, 0] for line in lines)]


def _classes(pieces: Sequence[_Piece], sources: Sequence[np.ndarray], axis: int) -> list[np.ndarray]:
    """The lines along rows (0) or columns (1) that take their values from the same pieces and channels."""
    channels, lines = sources[0], sources[1 + axis]
    covering = np.stack([piece.written[axis] for piece in pieces])
    classes: dict[tuple[bytes, bytes], list[int]] = {}
    for line, source in enumerate(lines):
        key = covering[:, source].tobytes(), channels.take(line, 1 + axis).tobytes()
        classes.setdefault(key, []).append(line)
    return [np.array(members) for members in classes.values()]


def _region(
    pieces: Sequence[_Piece],
    sources: Sequence[np.ndarray],
    strides: Sequence[int],
    form: OperatorForm,
    lines: Sequence[np.ndarray],
) -> Region | None:
    """``None`` where no piece writes here, or two write the same product."""
    taken = [source[own] for source, own in zip(sources[1:], lines, strict=True)]
    here = [piece for piece in pieces if all(mask[own[0]] for mask, own in zip(piece.written, taken, strict=True))]
    if not here:
        return None
    taps = [_taps(here, 1 + axis) for axis in range(len(LINES))]
    shape = (form.output_shape[0], *(len(own) for own in taps), form.input_shape[0])
    places = np.concatenate([_places(piece, taps, shape) for piece in here])
    if np.bincount(places).max() > 1:
        return None
    stored = np.concatenate([piece.stored.ravel() for piece in here])
    channels = sources[0][:, lines[0][0], lines[1][0]]
    rows, columns = (_window(*axis) for axis in zip(taken, taps, strides, strict=True))
    return Region(
        (rows[0], columns[0]),
        shape,
        _unless_in_order(places, prod(shape)),
        _unless_in_order(stored, 1 + max(int(piece.stored.max()) for piece in pieces)),
        _unless_in_order(channels),
        (rows[1], columns[1]),
    )


def _taps(pieces: Sequence[_Piece], axis: int) -> range:
    """The coordinates along which the weights of all pieces stand."""
    bounds = [piece.bounds(axis) for piece in pieces]
    low, high = min(first for first, _ in bounds), max(last for _, last in bounds)
    steps = [step[axis] for piece in pieces for step in piece.steps] + [first - low for first, _ in bounds]
    return range(low, high + 1, gcd(*steps) or 1)


def _places(piece: _Piece, taps: Sequence[range], shape: Point) -> np.ndarray:
    """The flat places of the piece's weights, in the order of its steps, in a weight of ``shape``."""
    rows, columns = taps
    scale = (prod(shape[1:]), prod(shape[2:]), shape[3], 1)

    def flat(point: Point, row: int, column: int) -> int:
        at = (point[0], (point[1] - row) // rows.step, (point[2] - column) // columns.step, point[3])
        return int(np.dot(at, scale))

    places = np.array([flat(piece.start, rows.start, columns.start)])
    for extent, step in zip(piece.stored.shape, piece.steps, strict=True):
        places = np.add.outer(places, np.arange(extent) * flat(step, 0, 0))
    return places.ravel()


def _window(taken: np.ndarray, taps: range, stride: int) -> tuple[Window, np.ndarray | None]:
    """What gives the lines ``taken``, evenly spaced from the first to the last, and which of them each line is."""
    first, last = int(taken.min()), int(taken.max())
    step = int(np.gcd.reduce(taken - first)) or 1
    window = Window(stride * first + taps.start, (last - first) // step + 1, stride * step, len(taps), taps.step)
    return window, _unless_in_order((taken - first) // step, window.outputs)


def _unless_in_order(table: np.ndarray, size: int | None = None) -> np.ndarray | None:
    """``None`` for all of ``size`` (by default as many as there are) in order."""
    count = len(table) if size is None else size
    return None if len(table) == count and np.array_equal(table, np.arange(count)) else table
