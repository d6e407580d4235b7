"""Where results go once the completion is turned around."""

from __future__ import annotations

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.schedules.placement import covers_output, is_injective, placements
from tests.lowering.forms import channel_bottleneck, conv, part, parts, spatial_bottleneck, strips


def test_a_plain_convolution_has_one_place() -> None:
    form = conv(16, 16, 4)
    ((place,),) = placements(form) or ()
    assert place.offset == (0, 0, 0)
    assert place.steps[:3] == ((0, 1, 0), (0, 0, 1), (1, 0, 0))


def test_spatial_bottleneck_fills_the_square() -> None:
    ((*places,),) = placements(spatial_bottleneck(16, 16, 4)) or ()
    assert [place.offset for place in places] == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]


def test_channel_bottleneck_repeats() -> None:
    ((*places,),) = placements(channel_bottleneck(32, 16, 4)) or ()
    assert [place.offset for place in places] == [(0, 0, 0), (16, 0, 0)]


def test_strips_fill_all_channels_of_their_rows() -> None:
    ((*places,),) = placements(strips(32, 16, 8, 2)) or ()
    assert [place.offset for place in places] == [(0, 0, 0), (16, 0, 0)]
    assert {place.steps[2] for place in places} == {(0, 4, 0)}


def test_parts_have_a_place_each() -> None:
    assert placements(parts(32, 32, 4, [(16, 1), (16, 2)])) is not None


def test_sums_and_gaps_have_no_places() -> None:
    whole, half = part(32, 16, 4, 0), part(16, 16, 4, 0)
    assert placements(OperatorForm((16, 4, 4), (32, 4, 4), (whole, half))) is None
    gap = OperatorForm((16, 4, 4), (32, 4, 4), (half,))
    assert placements(gap) is None
    assert is_injective(gap, half)
    assert not covers_output(gap, half)
    assert covers_output(gap, whole)
