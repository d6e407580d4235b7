from __future__ import annotations

from loopwright.legality.verdict import Verdict
from loopwright.search.funnel import Funnel
from loopwright.search.progress import FUNNEL, SilentProgress


def test_counts_and_reasons_are_kept() -> None:
    funnel = Funnel(SilentProgress())
    funnel.passed("drawn", 3)
    lost = Verdict(legal=False, check="structure", reason="receptive field: position (1, 2) sees 4 of the 9 pixels")
    assert not funnel.judged("legal by structure", lost)
    assert funnel.judged("legal by structure", Verdict(legal=True, check="structure", reason="kept"))
    low = Verdict(legal=False, check="fisher", reason="Fisher Potential 1 against the original's 2: below")
    assert not funnel.judged("legal by capacity", low)
    assert funnel.counts == dict.fromkeys(FUNNEL, 0) | {"drawn": 3, "legal by structure": 1}
    assert funnel.rejections["legal by structure"] == {"receptive field": 1}
    assert funnel.rejections["legal by capacity"] == {"Fisher Potential below the original's": 1}
