"""What callbacks see of a run, and what becomes of a run whose callback raises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import loopwright
from loopwright.errors import ArgumentError
from loopwright.search import events
from loopwright.search.progress import STAGES
from loopwright.store import Store


def module() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.Flatten(), nn.Linear(1024, 10)
    )


def optimize(folder: Path, **settings: object) -> loopwright.api.Optimized:
    torch.manual_seed(0)
    settings = {"configurations": 8, "operators": 6, "images": 4, "legality": "fisher", **settings}
    return loopwright.optimize(module(), (1, 3, 8, 8), store=folder / "store.sqlite", out=folder / "run", **settings)


def test_callbacks_see_stages_verdicts_timings_and_networks(tmp_path: Path) -> None:
    told: list[events.Event] = []
    found = optimize(tmp_path, workers=2, callbacks=[told.append])
    assert [event.stage for event in told if isinstance(event, events.StageBegan)] == list(STAGES)
    assert [event.stage for event in told if isinstance(event, events.StageEnded)] == list(STAGES)
    judged = [event for event in told if isinstance(event, events.CandidateJudged)]
    counts = {stage.name: stage.count for stage in found.summary.funnel}
    assert len(judged) == counts["drawn"] <= 8
    assert sum(event.legal for event in judged) == counts["legal by capacity"]
    timed = [event for event in told if isinstance(event, events.OperatorTimed)]
    latencies = {(own.workload, own.sequence): own.latency_ms for own in found.summary.operators}
    assert timed
    assert all(latencies.get((event.operator, event.sequence), event.latency_ms) == event.latency_ms for event in timed)
    bests = [event.latency_ms for event in told if isinstance(event, events.NewBest)]
    assert bests == sorted(bests, reverse=True)
    faster = [own.latency_ms for own in found.summary.candidates if own.accepted and own.latency_ms]
    if bests:
        assert bests[-1] == pytest.approx(min(faster))
    networks = [event.latency_ms for event in told if isinstance(event, events.NetworkTimed)]
    assert networks[0] == found.summary.original.latency_ms
    assert min(networks) == found.summary.chosen.latency_ms
    assert repr(found) == f"<Optimized {found.summary.line} in {tmp_path / 'run'}>"
    assert found._repr_html_() == found.summary._repr_html_()


def test_what_a_callback_raises_ends_the_run_which_can_go_on(tmp_path: Path) -> None:
    def stop(event: events.Event) -> None:
        if isinstance(event, events.StageBegan) and event.stage == "Deliver":
            raise TimeoutError("enough")

    with pytest.raises(TimeoutError, match="enough"):
        optimize(tmp_path, callbacks=[stop])
    with Store.open(tmp_path / "store.sqlite") as store:
        judged = store.counts().verdicts
    assert judged > 0
    torch.manual_seed(0)
    found = loopwright.resume(tmp_path / "run", module())
    assert next(use for use in found.summary.store if use.kind == "verdicts").made == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "workers=0; at least one has to judge"),
        ({"ray": "head"}, "an address is HOST:PORT|--ray needs the package"),
    ],
)
def test_workers_that_cannot_be_are_refused(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        optimize(tmp_path, **settings)
    assert not (tmp_path / "run").exists()
