"""The interpreter against convolutions written out in NumPy, and completions against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from loopwright.ir.interpreter import run
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from tests.sampling import OPERATORS, integers


def convolution(operator, x: np.ndarray, weight: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Straight from the definition, window by window."""
    (top, left), (down, across), (apart, aside) = operator.paddings, operator.strides, operator.dilations
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    output = np.zeros((operator.n, *operator.output_shape), x.dtype)
    co, ci = operator.co // operator.groups, operator.ci // operator.groups
    for channel in range(operator.co):
        own = padded[:, channel // co * ci :][:, :ci]
        for row in range(operator.oh):
            for column in range(operator.ow):
                window = own[:, :, row * down :, column * across :][:, :, ::apart, ::aside]
                window = window[:, :, : operator.kh, : operator.kw]
                output[:, channel, row, column] = (window * weight[channel]).sum((1, 2, 3))
    return output


@pytest.mark.parametrize("text", [text for text in OPERATORS if text.startswith("conv2d")])
def test_untransformed_nests_are_convolutions(text: str) -> None:
    operator = parse(text)
    x, weight = integers(operator.nest(), 0)
    assert np.array_equal(run(operator.nest(), x, weight), convolution(operator, x, weight))


BASE = parse("conv2d(co=4, ci=4, oh=6, ow=6, kh=3, kw=3)").nest()
ROWS = np.arange(6)


@pytest.mark.parametrize(
    ("sequence", "axis", "source"),
    [
        ("bottleneck(co, 2)", 1, np.arange(4) % 2),
        ("bottleneck(co, 2, keep=stride)", 1, np.arange(4) // 2 * 2),
        ("bottleneck(co, 2, keep=centre)", 1, [2, 1, 2, 1]),
        ("bottleneck(oh, 2)", 2, ROWS // 2 * 2),
        ("bottleneck(oh, 3)", 2, [0, 0, 3, 3, 3, 3]),
        ("bottleneck(oh, 2, keep=prefix)", 2, [0, 1, 2, 2, 2, 2]),
        ("bottleneck(ow, 3, keep=centre)", 3, [2, 2, 2, 3, 3, 3]),
    ],
)
def test_dropped_outputs_take_the_value_that_completes_them(sequence: str, axis: int, source: list[int]) -> None:
    x, weight = integers(BASE, 1)
    changed = TransformationSequence.parse(sequence).apply(BASE)
    assert np.array_equal(run(changed, x, weight), run(BASE, x, weight).take(source, axis))


def test_grouping_rows_with_channels_changes_channels_never_places() -> None:
    x, weight = integers(BASE, 2)
    full = run(BASE, x, weight)
    for sequence in ("split(oh, 3) -> group(oh_outer, co, 2)", "split(oh, 3) -> group(co, oh_outer, 2)"):
        found = run(TransformationSequence.parse(sequence).apply(BASE), x, weight)
        for channel in range(4):
            for row in range(6):
                assert np.array_equal(found[:, channel, row], full[:, row // 3 * 2 + channel % 2, row])


def test_outputs_that_another_statement_writes_are_not_completed() -> None:
    x, weight = integers(BASE, 3)
    sequence = "partition(ci, 2) -> on s1: bottleneck(co, 2)"
    masked = weight.copy()
    masked[2:, 2:] = 0
    assert np.array_equal(run(TransformationSequence.parse(sequence).apply(BASE), x, weight), run(BASE, x, masked))


def test_reduction_steps_drop_no_output() -> None:
    x, weight = integers(BASE, 4)
    kept = np.zeros_like(weight)
    kept[:, :, 1] = weight[:, :, 1]
    assert np.array_equal(
        run(TransformationSequence.parse("bottleneck(kh, 3)").apply(BASE), x, weight), run(BASE, x, kept)
    )
