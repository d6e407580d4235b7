"""Which positions of its input an operator reads for every position of its output; channels are projected out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Size = tuple[int, int]
NOTHING = -1


@dataclass(frozen=True, eq=False)
class Footprint:
    """``table`` (output positions, k) holds for each output position the input positions it reads, both counted row by
    row; ``NOTHING`` fills the rows up. Sizes are (height, width)."""

    input_size: Size
    output_size: Size
    table: np.ndarray

    @staticmethod
    def from_pairs(input_size: Size, output_size: Size, outputs: np.ndarray, inputs: np.ndarray) -> Footprint:
        """From a relation given as two arrays: ``outputs[i]`` reads ``inputs[i]``; pairs may repeat."""
        cells, positions = input_size[0] * input_size[1], output_size[0] * output_size[1]
        outputs, inputs = np.divmod(_distinct(outputs * cells + inputs, positions * cells), cells)
        counts = np.bincount(outputs, minlength=positions)
        column = np.arange(len(outputs)) - np.repeat(np.cumsum(counts) - counts, counts)
        table = np.full((positions, max(1, int(counts.max(initial=0)))), NOTHING)
        table[outputs, column] = inputs
        return Footprint(input_size, output_size, table)

    @staticmethod
    def from_axes(input_size: Size, rows: np.ndarray, columns: np.ndarray) -> Footprint:
        """Of an operator that treats rows and columns apart: ``rows`` (output rows, k), ``columns`` likewise."""
        both = rows[:, None, :, None] * input_size[1] + columns[None, :, None, :]
        inside = (rows != NOTHING)[:, None, :, None] & (columns != NOTHING)[None, :, None, :]
        table = np.where(inside, both, NOTHING).reshape(len(rows) * len(columns), -1)
        return Footprint(input_size, (len(rows), len(columns)), table)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The relation as (output positions, input positions)."""
        outputs, column = np.nonzero(self.table != NOTHING)
        return outputs, self.table[outputs, column]

    def propagate(self, fields: np.ndarray) -> np.ndarray:
        """Unites the sets of bits ``fields`` (input positions, words) over what each output position reads."""
        padded = np.concatenate([fields, np.zeros_like(fields[:1])])
        united = padded[self.table[:, 0]]
        for column in self.table.T[1:]:
            united |= padded[column]
        return united


def window(input_size: Size, output_size: Size, kernel: Size, stride: Size, padding: Size, dilation: Size) -> Footprint:
    """Of a convolution or pooling with that window; what lies outside of the input is not read."""
    return Footprint.from_axes(
        input_size, *map(_window_axis, input_size, output_size, kernel, stride, padding, dilation)
    )


def adaptive(input_size: Size, output_size: Size) -> Footprint:
    """Of adaptive pooling: output i of O reads from ``floor(i*I/O)`` to below ``ceil((i+1)*I/O)``."""
    return Footprint.from_axes(input_size, *map(_adaptive_axis, input_size, output_size))


def _window_axis(extent: int, positions: int, kernel: int, stride: int, padding: int, dilation: int) -> np.ndarray:
    read = np.arange(positions)[:, None] * stride - padding + np.arange(kernel) * dilation
    return np.where((read >= 0) & (read < extent), read, NOTHING)


def _adaptive_axis(extent: int, positions: int) -> np.ndarray:
    index = np.arange(positions)[:, None]
    start, end = index * extent // positions, -((index + 1) * -extent // positions)
    read = start + np.arange(int((end - start).max()))
    return np.where(read < end, read, NOTHING)


def _distinct(values: np.ndarray, bound: int) -> np.ndarray:
    """The distinct values in order; by marking where that is cheaper than sorting."""
    if bound > 64 * max(1, len(values)):
        return np.unique(values)
    marks = np.zeros(bound, bool)
    marks[values] = True
    return np.flatnonzero(marks)
