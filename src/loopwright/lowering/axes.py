"""Forms over other axes than their operator's own: channels first, and images (channel, row, column) for the kernels.

A form keeps its operator's axes: (channel, column) for conv1d, (token, channel) for linear, (head, row, column) for a
batched product. `channels_first` only moves the channels to the front. `as_image` also gives every form three axes:
missing ones have a single element, and a depth is folded into the channels (`loopwright.lowering.depth`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from loopwright.ir.affine import Affine, var
from loopwright.ir.contraction import Contraction, Dim, OperatorForm
from loopwright.ir.lattice import Point
from loopwright.ir.loopnest import Case
from loopwright.lowering.depth import DEPTH, Part, folded, inside_parts

IMAGE_AXES = 3


class ImageForm(NamedTuple):
    """A form over (channel, row, column), and of what in the original one each of its contractions is a part."""

    form: OperatorForm
    parts: tuple[Part, ...]


def channels_first(form: OperatorForm) -> OperatorForm:
    """The form with its channel axis before all others."""
    return form if form.channel_axis == 0 else _rearranged(form, _channels_first(form))


def as_image(form: OperatorForm, first: int = 0) -> ImageForm:
    """The form over (channel, row, column); its parts number the contractions from ``first`` on."""
    channel, *others = _channels_first(form)
    if len(others) < IMAGE_AXES:
        missing = IMAGE_AXES - 1 - len(others)
        image = _rearranged(form, (channel, *[None] * missing, *others)) if missing or form.channel_axis else form
        return ImageForm(image, tuple(Part(k, contraction) for k, contraction in enumerate(image.contractions, first)))
    form = channels_first(form)
    depths, numbered = form.input_shape[DEPTH], enumerate(form.contractions, first)
    parts = tuple(part for number, contraction in numbered for part in inside_parts(number, contraction, depths))
    return ImageForm(folded(replace(form, contractions=tuple(part.contraction for part in parts))), parts)


def to_image(array: np.ndarray, form: OperatorForm) -> np.ndarray:
    """(N, the form's axes) as (N, channels, rows, columns)."""
    first = np.moveaxis(array, 1 + form.channel_axis, 1)
    rows, columns = (1, 1, *first.shape[2:])[-2:]
    return first.reshape(len(first), -1, rows, columns)


def from_image(images: np.ndarray, form: OperatorForm) -> np.ndarray:
    """(N, channels, rows, columns) of the form's output as (N, the form's axes)."""
    shape = [form.output_shape[axis] for axis in _channels_first(form)]
    return np.moveaxis(images.reshape(len(images), *shape), 1, 1 + form.channel_axis)


def _channels_first(form: OperatorForm) -> list[int]:
    channel = form.channel_axis
    return [channel, *(axis for axis in range(len(form.output_shape)) if axis != channel)]


def _rearranged(form: OperatorForm, order: Sequence[int | None]) -> OperatorForm:
    """The form in which axis ``k`` is the old axis ``order[k]``, or a new one of a single element for ``None``."""
    names = {f"o{old}": var(f"o{new}") for new, old in enumerate(order) if old is not None}

    def axes(point: Point, new: int) -> Point:
        return tuple(new if old is None else point[old] for old in order)

    def moved(contraction: Contraction) -> Contraction:
        dims = (Dim(dim.extent, axes(dim.input, 0), axes(dim.output, 0), dim.in_weight) for dim in contraction.dims)
        offsets = axes(contraction.input_offset, 0), axes(contraction.output_offset, 0)
        return Contraction(tuple(dims), *offsets, contraction.origin)

    def renamed(case: Case) -> Case:
        where = tuple((expression.substitute(names), bound) for expression, bound in case.where)
        source = [expression.substitute(names) for expression in case.source]
        return Case(where, tuple(Affine() if old is None else source[old] for old in order))

    return replace(
        form,
        input_shape=axes(form.input_shape, 1),
        output_shape=axes(form.output_shape, 1),
        contractions=tuple(map(moved, form.contractions)),
        completion=tuple(map(renamed, form.completion)),
        channel_axis=0,
    )
