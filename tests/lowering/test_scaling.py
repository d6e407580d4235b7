"""Scales of output channels multiplied into weights."""

from __future__ import annotations

import numpy as np
import pytest

from loopwright.ir.contraction import operator_form
from loopwright.lowering.scaling import scaled
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from tests.lowering.forms import channel_bottleneck, conv, parts, reference, spatial_bottleneck, strips

FOLDED = {
    "dense": conv(12, 5, 4),
    "grouped": conv(12, 8, 4, groups=4),
    "depthwise": conv(8, 8, 4, groups=8),
    "several contractions": parts(12, 8, 4, [(4, 1), (8, 2)]),
    "spatial completion": spatial_bottleneck(8, 4, 6),
}
MIXED = {
    "repeated channels": channel_bottleneck(8, 4, 4),
    "channels of other strips": strips(8, 4, 4, 2),
}


def weights_of(form, random):
    return [random.standard_normal(contraction.weight_shape) for contraction in form.contractions]


@pytest.mark.parametrize("name", FOLDED)
def test_scaled_weights_give_the_scaled_output(name):
    form, random = FOLDED[name], np.random.default_rng(0)
    weights, scale = weights_of(form, random), random.standard_normal(form.output_shape[0])
    images = random.standard_normal((2, *form.input_shape))
    expected = reference(form, images, weights) * scale[:, None, None]
    np.testing.assert_allclose(reference(form, images, scaled(form, weights, scale)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MIXED)
def test_weights_that_serve_several_channels_take_no_scale(name):
    form, random = MIXED[name], np.random.default_rng(0)
    assert scaled(form, weights_of(form, random), np.ones(form.output_shape[0])) is None


def test_the_last_stage_takes_the_scale():
    nest = parse("conv2d(co=8, ci=4, oh=4, ow=4, kh=3, kw=3)").nest()
    form = operator_form(TransformationSequence.parse("bottleneck(co, 2, complete=project)").apply(nest))
    weights = [np.ones(c.weight_shape) for stage in form.stages for c in stage.contractions]
    first, projection = scaled(form, weights, np.arange(8.0))
    assert (first == 1).all()
    assert np.array_equal(projection, np.broadcast_to(np.arange(8.0)[:, None], projection.shape))
