"""The sampling, the split, the schedule and the tables of the ground truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from loopwright.errors import NotApplicableError
from loopwright.training.schedule import Schedule
from loopwright.training.short import Outcome
from scripts.ground_truth.__main__ import ACCURACIES, SPECS, jobs_of
from scripts.ground_truth.results import Row, append, mean_accuracies, read_rows, write_rows
from scripts.ground_truth.sampling import extended, interleaved, spread
from scripts.ground_truth.specs import Spec, choice, network, read_specs, write_specs

CPU = torch.device("cpu")
SAMPLE = Path("src/loopwright/models/sample")


def spec(number: int, kind: str = "mixed", macs: float = 0.5, seeds: int = 1) -> Spec:
    return Spec(f"n{number:03}", kind, "", (), macs, 1.0, "", seeds, {"conv1": f"bottleneck(co, {2**number})"})


def test_spreading_fills_the_gaps() -> None:
    shares = [0.1, 0.2, 0.48, 0.5, 0.52, 0.75, 0.9]
    picked = spread([spec(k, macs=share) for k, share in enumerate(shares)], 3)
    assert [chosen.macs_share for chosen in picked] == [0.5, 0.2, 0.75]


def test_every_first_part_of_interleaved_groups_has_its_share_of_each() -> None:
    groups = [[spec(k, kind) for k in range(size)] for kind, size in (("a", 40), ("b", 20), ("c", 10))]
    mixed = interleaved(groups)
    assert len(mixed) == 70
    kinds = Counter(found.kind for found in mixed[:35])
    assert all(abs(kinds[kind] - half) <= 1 for kind, half in (("a", 20), ("b", 10), ("c", 5)))


def test_more_networks_are_numbered_on_and_none_is_there_twice() -> None:
    known, more = [spec(0, seeds=3), spec(1)], [spec(1), spec(2, seeds=3), spec(3), spec(4)]
    found = extended(known, more, 2)
    assert found == [*known, replace(spec(2), id="n002"), replace(spec(3), id="n003")]


def test_accuracies_are_averaged_over_the_seeds_that_were_trained() -> None:
    outcomes = {("n000", 0): 90.0, ("n000", 1): 92.0, ("n001", 0): None, ("n002", 0): 80.0}
    rows = [Row.of(*key, 4, Outcome(None, value, None, 8.0, 7.0), "H100") for key, value in outcomes.items()]
    assert mean_accuracies(rows) == {"n000": 91.0, "n002": 80.0}


def test_parts_share_out_all_trainings() -> None:
    specs = [spec(k, seeds=3 if k < 2 else 1) for k in range(6)]
    parts = [jobs_of(specs, f"{k}/3") for k in range(3)]
    assert sorted((job.id, seed) for part in parts for job, seed in part) == sorted(
        (job.id, seed) for job in specs for seed in range(job.seeds)
    )


def test_specs_and_rows_come_back_as_they_were(tmp_path: Path) -> None:
    specs = [spec(1), replace(spec(2), families=("ghost", "grouped"))]
    write_specs(tmp_path / "specs.jsonl", specs)
    assert read_specs(tmp_path / "specs.jsonl") == specs
    rows = [Row.of("n002", 1, 4, Outcome(91.234, 92.0, 0.5, 8.0, 7.0), "H100")]
    rows += [Row.of("n001", 0, 4, Outcome(None, None, None, 8.0, 7.0), "H100")]
    append(tmp_path / "rows.csv", rows[0])
    append(tmp_path / "rows.csv", rows[1])
    assert read_rows(tmp_path / "rows.csv") == rows
    write_rows(tmp_path / "rows.csv", rows)
    assert [row.id for row in read_rows(tmp_path / "rows.csv")] == ["n001", "n002"]
    assert rows[0].accuracy == "91.23"


def test_the_kept_tables_agree_with_one_another() -> None:
    specs = {found.id: found for found in read_specs(SPECS)}
    rows = [row for row in read_rows(ACCURACIES) if row.accuracy]
    assert {row.id for row in rows} <= specs.keys()
    assert len({row.id for row in rows}) >= 120
    assert sum(count >= 3 for count in Counter(row.id for row in rows).values()) >= 19
    assert {row.epochs for row in rows} == {Schedule().epochs}


def test_the_kept_networks_are_what_their_sequences_say() -> None:
    original = network()
    workloads = {layer.name: str(layer.operator) for layer in original.transformable}
    for found in read_specs(SPECS)[::20]:
        saved = 0
        for layer, text in found.sequences.items():
            try:
                saved += choice(workloads[layer], "").form.macs - choice(workloads[layer], text).form.macs
            except NotApplicableError as error:  # pragma: no cover
                pytest.fail(f"{found.id}, {layer}: {error}")
        assert found.macs_share == pytest.approx(1 - saved / original.macs, abs=1e-4)
