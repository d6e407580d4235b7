"""Liveness within one operator: what it must still compute and read when only some channels of its output are read.

``live`` marks those channels: one flag for each position of the output's first axis, the batch left out. An output that
a restriction has dropped takes another one's value, so a dropped output that is live keeps the other one alive.
"""

from __future__ import annotations

from math import prod

import numpy as np

from loopwright.ir.contraction import Contraction, OperatorForm
from loopwright.ir.interpreter import completion_table
from loopwright.ir.lattice import Lattice, LatticeDim
from loopwright.ir.loopnest import Statement


def needed_outputs(form: OperatorForm, live: np.ndarray) -> np.ndarray:
    """The elements of the first stage's output of which the values reach a live channel, as flags in its shape."""
    for stage in reversed(form.stages[1:]):
        live = channels_read(stage, live)
    needed = np.zeros(prod(form.output_shape), bool)
    needed[completion_table(form.completion, form.output_shape)[live]] = True
    return needed.reshape(form.output_shape)


def channels_read(form: OperatorForm, live: np.ndarray) -> np.ndarray:
    """The input channels that the needed outputs are made of, as flags; reads of padding count as reads."""
    needed = needed_outputs(form, live)
    read = np.zeros(form.input_shape[0], bool)
    for contraction in form.contractions:
        read[_channels_of(contraction, needed)] = True
    return read


def outputs_of(statement: Statement) -> np.ndarray:
    """The output elements of one image that the statement writes, as flags in the output's shape without the batch."""
    computation = statement.computation
    batch = {iterator.name for iterator in computation.iterators if iterator.role == "batch"}
    axes = [axis for axis, index in enumerate(computation.output.index) if not index.variables & batch]
    shape = tuple(computation.output.shape[axis] for axis in axes)
    written = np.zeros(prod(shape), bool)
    written[statement.written.project(axes).flat(shape)] = True
    return written.reshape(shape)


def _channels_of(contraction: Contraction, needed: np.ndarray) -> np.ndarray:
    """The channels that the contraction reads for the outputs that are needed."""
    writing = [dim for dim in contraction.dims if any(dim.output)]
    summing = [dim for dim in contraction.dims if not any(dim.output) and dim.input[0]]
    written = Lattice(contraction.output_offset, tuple(LatticeDim(dim.extent, dim.output) for dim in writing))
    first, steps = (
        Lattice((start,), tuple(LatticeDim(dim.extent, dim.input[:1]) for dim in dims)).flat((1,))
        for start, dims in ((contraction.input_offset[0], writing), (0, summing))
    )
    starts = np.unique(first[needed.reshape(-1)[written.flat(needed.shape)]])
    channels: np.ndarray = np.unique(starts[:, None] + steps.reshape(-1))
    return channels
