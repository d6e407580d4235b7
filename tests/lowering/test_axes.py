"""Forms and arrays over other axes hold the same values."""

from __future__ import annotations

import numpy as np
import pytest

from loopwright.errors import ArgumentError
from loopwright.ir.contraction import operator_form
from loopwright.lowering.axes import as_image, channels_first, from_image, to_image
from loopwright.lowering.kernel import Epilogue, build_kernel
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.transformations import TransformationSequence


@pytest.mark.parametrize(
    ("text", "read", "written"),
    [
        ("conv2d(co=4, ci=2, oh=3, ow=5)", (2, 3, 5), (4, 3, 5)),
        ("conv1d(co=4, ci=2, ow=5)", (2, 1, 5), (4, 1, 5)),
        ("linear(co=4, ci=2, tokens=5)", (2, 1, 5), (4, 1, 5)),
        ("matmul(h=3, m=5, p=4, k=2)", (2, 3, 5), (4, 3, 5)),
        ("conv3d(co=4, ci=2, od=3, oh=5, ow=7)", (6, 5, 7), (12, 5, 7)),
    ],
)
def test_every_form_is_one_over_channels_rows_and_columns(
    text: str, read: tuple[int, ...], written: tuple[int, ...]
) -> None:
    form = operator_form(parse(text).nest())
    image = as_image(form).form
    assert (image.input_shape, image.output_shape, image.macs) == (read, written, form.macs)
    array = np.arange(2 * np.prod(form.output_shape)).reshape(2, *form.output_shape)
    assert to_image(array, form).shape == (2, *written)
    assert np.array_equal(from_image(to_image(array, form), form), array)


def test_a_form_with_its_channels_first_stays_as_it_is() -> None:
    form = operator_form(parse("conv2d(co=4, ci=2, oh=3, ow=5, kh=3, kw=3)").nest())
    assert as_image(form).form is channels_first(form) is form


def test_completion_follows_its_axes() -> None:
    nest = parse("linear(co=4, ci=2, tokens=6)").nest()
    form = operator_form(TransformationSequence.parse("bottleneck(t, 2)").apply(nest))
    own, first = form.completion[0].source, channels_first(form).completion[0].source
    assert list(map(str, own)) == ["2*(o0//2)", "o1"]
    assert list(map(str, first)) == ["o0", "2*(o1//2)"]


def test_a_kernel_of_two_inputs_takes_one_image() -> None:
    form = operator_form(parse("matmul(m=4, p=4, k=4)").nest())
    with pytest.raises(ArgumentError, match="takes one image, not 2; run it once for each, or count them in h"):
        build_kernel(form, 2, Epilogue(), cpu())
