"""Contractions are cut where they would read outside of the depth, and nowhere else."""

from __future__ import annotations

import numpy as np

from loopwright.ir.contraction import operator_form
from loopwright.lowering.depth import DEPTH, inside_parts
from loopwright.operators import parse


def test_one_part_for_each_tap_with_the_outputs_that_read_inside() -> None:
    form = operator_form(parse("conv3d(co=2, ci=2, od=4, oh=2, ow=2, kd=3)").nest())
    parts = list(inside_parts(0, form.contractions[0], form.input_shape[DEPTH]))
    assert [part.contraction.macs // (2 * 2 * 4) for part in parts] == [3, 4, 3]
    assert [part.contraction.output_offset[DEPTH] for part in parts] == [1, 0, 0]
    weight = np.arange(form.contractions[0].macs)[: 2 * 2 * 3].reshape(form.contractions[0].weight_shape)
    taps = [part.weight_of([weight]) for part in parts]
    assert np.array_equal(np.stack(taps, -1), weight)


def test_what_reads_inside_stays_whole() -> None:
    form = operator_form(parse("conv3d(co=2, ci=2, od=4, oh=2, ow=2, kd=3, padding=0)").nest())
    (part,) = inside_parts(0, form.contractions[0], form.input_shape[DEPTH])
    assert part.contraction is form.contractions[0]
