"""Weights in the order in which threads read them, rounded to what tensor cores multiply.

Weights are the left factor: a thread's part of it for one instruction is one vector. The sum may run over channels in
any order: the thread that reads a vector of four input channels of a pixel, its part of the right factor for two
instructions in tf32 and for one in bfloat16, meets the weights of just these. And the rows of an instruction may be any
output channels: the thread's own rows of two instructions are four neighbouring ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.lowering.schedules.cuda.tensor.schedule import TensorSchedule
from loopwright.lowering.schedules.cuda.tensor.tiling import CHANNELS, VECTOR, Summation
from loopwright.lowering.schedules.cuda.tensor.window import BLOCK, Window, windows
from loopwright.targets.target import TF32

TF32_DROPPED, BF16_DROPPED = 13, 16
"""Of the 23 bits of a float32's fraction, those that tf32 and bfloat16 do not have."""


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
        32 output channels, one of two sixteens, instruction, thread, its part of the left factor)."""
        own, block = self.sum, self.schedule.block_channels
        matrix = self.window.matrix(weight)
        empty = own.channel_tiles * block - self.window.channels
        matrix = np.pad(matrix, ((0, 0), (0, empty), (0, 0)))
        taps = (own.groups, own.taps)
        rows = (own.channel_tiles, block // CHANNELS, CHANNELS // 4, 2, 2)
        columns = (own.rounds, own.depth, BLOCK // 4, 2, 2)
        axes = range(len(taps + rows + columns))
        group, tap, tile, thirty_two, own_row, sixteen, half, round_, depth, own_column, pair, one = axes
        if self.schedule.precision == TF32:  # a pair of the thread's four channels for an instruction
            own_part, rounded = (pair, own_row, own_column, one, half), rounded_to_tf32
        else:  # all four for one, of two that follow each other in a register
            own_part, rounded = (own_row, own_column, pair, half, one), rounded_to_bf16
        order = (tile, round_, group, depth, tap, thirty_two, sixteen, *own_part)
        split = matrix.reshape(taps + rows + columns).transpose(order)
        return rounded(np.ascontiguousarray(split)).view(np.float32).reshape(self.shape)


def pack_for_tensor_cores(
    form: OperatorForm, schedule: TensorSchedule, input_block: int
) -> tuple[TensorContraction, ...]:
    """All contractions of a form that reads ``input_block`` channels side by side. Raises `ValueError` where one is no
    product of matrices, or the schedule does not divide its channels."""
    own = tuple(TensorContraction(window, schedule) for window in windows(form, input_block) or ())
    if not own or not all(contraction.sum.divides for contraction in own):
        raise ValueError(f"{schedule}: no schedule for this form")
    return own


def rounded_to_bf16(values: np.ndarray) -> np.ndarray:
    """The upper halves of the nearest values with the 7 bits of bfloat16's fraction, ties to even, as
    ``cvt.rn.bf16x2.f32`` does."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    below_half = np.uint32((1 << (BF16_DROPPED - 1)) - 1)
    return ((bits + below_half + (bits >> BF16_DROPPED & 1)) >> BF16_DROPPED).astype(np.uint16)


def rounded_to_tf32(values: np.ndarray) -> np.ndarray:
    """The nearest values with the 10 bits of tf32's fraction, ties away from zero, as ``cvt.rna.tf32.f32`` does."""
    half = np.uint32(1 << (TF32_DROPPED - 1))
    kept = np.uint32(0xFFFFFFFF << TF32_DROPPED & 0xFFFFFFFF)
    return ((np.asarray(values, np.float32).view(np.uint32) + half) & kept).view(np.float32)
