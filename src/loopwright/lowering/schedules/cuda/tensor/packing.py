"""Weights in the order in which threads read them, rounded to what tensor cores multiply.

A thread's part of the right factor is four neighbouring input channels of one output channel, one vector, for each half
of sixteen output channels. The sum may run over channels in any order, so that these are its rows of two instructions;
and the columns of an instruction may be any output channels, so that a thread's sums are four neighbouring ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.lowering.schedules.cuda.tensor.schedule import TensorSchedule
from loopwright.lowering.schedules.cuda.tensor.tiling import COLUMNS, VECTOR, Summation
from loopwright.lowering.schedules.cuda.tensor.window import BLOCK, Window, windows

TF32_DROPPED = 13
"""Of the 23 bits of a float32's fraction, those that tf32 does not have."""


@dataclass(frozen=True)
class TensorContraction:
    """A contraction that is computed on tensor cores."""

    window: Window
    schedule: TensorSchedule

    tiled = True

    @property
    def contraction(self) -> Contraction:
        return self.window.contraction

    @property
    def sum(self) -> Summation:
        """Its steps."""
        return Summation(self.window, self.schedule)

    @property
    def shape(self) -> tuple[int, int]:
        """Of the packed weight."""
        return self.sum.channel_tiles * self.sum.steps * self.sum.weight_vectors, VECTOR

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """The dense weight in the order (tile of output channels, round, taps of a step, block of input channels, tap,
        sixteen output channels, half of these, output channel, four input channels)."""
        own, block = self.sum, self.schedule.block_channels
        matrix = self.window.matrix(weight)
        empty = own.channel_tiles * block - self.window.channels
        matrix = np.pad(matrix, ((0, 0), (0, empty), (0, 0)))
        pairs, halves = VECTOR, 2  # an output channel is 4 * pair + 2 * half + one of 2
        split = matrix.reshape(
            (own.groups, own.taps, own.channel_tiles, block // COLUMNS, pairs, halves, 2)
            + (own.rounds, own.depth, BLOCK // VECTOR, VECTOR)
        )
        group, tap, tile, sixteen, pair, half, one, round_, depth, vector, channel = range(split.ndim)
        order = (tile, round_, group, depth, tap, sixteen, half, pair, one, vector, channel)
        return rounded_to_tf32(np.ascontiguousarray(split.transpose(order))).reshape(self.shape)


def pack_for_tensor_cores(
    form: OperatorForm, schedule: TensorSchedule, input_block: int
) -> tuple[TensorContraction, ...]:
    """All contractions of a form that reads ``input_block`` channels side by side. Raises `ValueError` where one is no
    product of matrices, or the schedule does not divide its channels."""
    own = tuple(TensorContraction(window, schedule) for window in windows(form, input_block) or ())
    if not own or not all(contraction.sum.divides for contraction in own):
        raise ValueError(f"{schedule}: no schedule for this form")
    return own


def rounded_to_tf32(values: np.ndarray) -> np.ndarray:
    """The nearest values with the 10 bits of tf32's fraction, ties away from zero, as ``cvt.rna.tf32.f32`` does."""
    half = np.uint32(1 << (TF32_DROPPED - 1))
    kept = np.uint32(0xFFFFFFFF << TF32_DROPPED & 0xFFFFFFFF)
    return ((np.asarray(values, np.float32).view(np.uint32) + half) & kept).view(np.float32)
