"""A scale of an operator's output channels, multiplied into its weights ahead of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loopwright.ir.affine import var
from loopwright.ir.contraction import Contraction, OperatorForm


def scaled(form: OperatorForm, weights: Sequence[np.ndarray], scale: np.ndarray) -> list[np.ndarray] | None:
    """The dense weights (shape `Contraction.weight_shape`, all stages') with which ``form`` gives each output channel
    times its ``scale`` (C,); None where a weight is part of several channels."""
    last = form.stages[-1]
    if not _keeps_channels(last) or not all(_fixes_channel(last, own) for own in last.contractions):
        return None
    before = len(weights) - len(last.contractions)
    own = zip(last.contractions, weights[before:], strict=True)
    return [*weights[:before], *(_scaled(last, contraction, weight, scale) for contraction, weight in own)]


def _keeps_channels(form: OperatorForm) -> bool:
    """Whether outputs that no contraction writes are completed from their own channel."""
    axis = form.channel_axis
    return all(case.source[axis] == var(f"o{axis}") for case in form.completion)


def _fixes_channel(form: OperatorForm, contraction: Contraction) -> bool:
    """Whether a weight alone decides the channel that its products go to."""
    return not any(dim.output[form.channel_axis] for dim in contraction.of("pixel"))


def _scaled(form: OperatorForm, contraction: Contraction, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The weight times the scale of the channel that each element's products go to."""
    shape, axis = contraction.weight_shape, form.channel_axis
    steps = [dim.output[axis] for dim in contraction.dims if dim.in_weight]
    channel = np.full((1,) * len(shape), contraction.output_offset[axis])
    for k, (extent, step) in enumerate(zip(shape, steps, strict=True)):
        channel = channel + step * np.arange(extent).reshape([-1 if j == k else 1 for j in range(len(shape))])
    return np.asarray(weight.reshape(shape) * scale[channel], "float32")
