from __future__ import annotations

import pytest

from loopwright.report import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.001234, "0.00123"),
        (0.5, "0.500"),
        (9.999, "10.0"),
        (12.34, "12.3"),
        (99.96, "100"),
        (123456, "123000"),
    ],
)
def test_three_significant_digits(value: float, text: str):
    assert formats.significant(value) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (1000, "1.00 k"), (21_282_122, "21.3 M"), (1_159_000_000, "1.16 G")]
)
def test_counts_carry_their_unit(number: int, text: str):
    assert formats.count(number) == text


def test_a_missing_latency_and_a_ratio_to_nothing_are_dashes():
    assert formats.milliseconds(None) == formats.ratio(3, 0) == "-"
