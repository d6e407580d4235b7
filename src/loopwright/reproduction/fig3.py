"""Figure 3 of the paper: the final error of NAS-Bench-201's cells against Fisher Potential, beside other proxies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from loopwright.models.sources.nasbench201 import FAMILY
from loopwright.report.numbers import Cell, Rows, write_csv
from loopwright.reproduction import agreement
from loopwright.reproduction.agreement import Estimate, Rule
from loopwright.reproduction.nasbench201 import TrainedCell, drawn, read_table
from loopwright.reproduction.places import devices
from loopwright.reproduction.scoring import ScoreFile, Setup, score_all

if TYPE_CHECKING:
    from loopwright.search.progress import Progress

ON_CPU = 1000
"""How many cells a CPU scores if it is not told; a GPU scores all."""
VOTES = ("naswot", "jacob_cov", "synflow")
VOTE = "rank sum"
EVERYTHING = "accept everything"
TOP_QUARTER = "top quarter"
RESAMPLES = 200
NUMBERS, SUMMARY, RULES, SCORES = "fig3.csv", "fig3-summary.csv", "fig3-rules.csv", "fig3-scores.csv"


@dataclass(frozen=True)
class Request:
    """``cells`` cells of the benchmark's ``table``, drawn with the setup's seed, scored on ``device`` by ``workers``
    processes on each of its GPUs, into the folder ``out``."""

    table: Path
    setup: Setup
    device: str
    cells: int | None
    workers: int
    out: Path

    @property
    def count(self) -> int | None:
        """How many cells to score; none is all."""
        return ON_CPU if self.cells is None and self.device == "cpu" else self.cells


@dataclass(frozen=True)
class Figure3:
    """The numbers of the figure: one row a cell, one a proxy, one a proxy and original."""

    cells: Rows
    summary: Rows
    rules: Rows


def reproduce(request: Request, progress: Progress) -> Figure3:
    """Scores what is not scored yet, then writes all CSV files.

    Raises `ArgumentError` or `DataError` for unusable input. What was scored stays in ``fig3-scores.csv`` if it is
    interrupted, and the next run goes on from there.
    """
    places = devices(request.device)
    cells = drawn(read_table(request.table), request.count, request.setup.seed)
    request.out.mkdir(parents=True, exist_ok=True)
    scores = ScoreFile(request.out / SCORES, request.setup.described())
    models = [f"{FAMILY}/{cell.cell}" for cell in cells]
    waiting = [model for model in models if model not in scores.known]
    if len(waiting) < len(models):
        progress.note(f"{len(models) - len(waiting)} of {len(models)} cells are scored already")
    progress.stage("Score", len(waiting))
    for model, found in score_all(waiting, request.setup, places, request.workers):
        scores.add(model, found)
        progress.advance()
    progress.stage("Compare")
    figure = numbers(cells, [scores.known[model] for model in models], request.setup.seed)
    for name, rows in ((NUMBERS, figure.cells), (SUMMARY, figure.summary), (RULES, figure.rules)):
        write_csv(request.out / name, rows)
    return figure


def numbers(cells: Sequence[TrainedCell], scores: Sequence[Mapping[str, float]], seed: int) -> Figure3:
    """The figure's numbers from cells and their scores."""
    accuracies = np.array([cell.accuracy for cell in cells])
    columns = {name: np.array([row[name] for row in scores]) for name in scores[0]}
    rows: list[dict[str, Cell]] = [
        {"cell": cell.cell, "accuracy": cell.accuracy, **row} for cell, row in zip(cells, scores, strict=True)
    ]
    judged = {**columns, VOTE: agreement.rank_sum([columns[name] for name in VOTES])}
    return Figure3(rows, summary(judged, accuracies, seed), rules(judged, accuracies, [c.cell for c in cells], seed))


def summary(columns: Mapping[str, np.ndarray], accuracies: np.ndarray, seed: int) -> Rows:
    """The rank correlations of every proxy with the accuracy, the strongest first."""
    correlations = {name: agreement.spearman(scores, accuracies, RESAMPLES, seed) for name, scores in columns.items()}
    return [
        {
            "proxy": name,
            "cells": len(accuracies),
            "without_score": int((~np.isfinite(columns[name])).sum()),
            **_estimate("spearman", correlations[name]),
            **_estimate("kendall", agreement.kendall(columns[name], accuracies, RESAMPLES, seed)),
        }
        for name in sorted(correlations, key=lambda name: -np.nan_to_num(correlations[name].value, nan=-2))
    ]


def rules(columns: Mapping[str, np.ndarray], accuracies: np.ndarray, cells: Sequence[str], seed: int) -> Rows:
    """What the rule comes to for every proxy: for all originals of the top quarter together, then for five of them."""
    macs, top = columns["macs"], agreement.originals(accuracies)
    five = dict.fromkeys(int(top[round(part * (len(top) - 1))]) for part in (0, 0.25, 0.5, 0.75, 1))
    groups = {TOP_QUARTER: top, **{cells[index]: np.array([index]) for index in five}}
    rows = []
    for original, chosen in groups.items():
        for name, scores in columns.items():
            found = agreement.rule(scores, accuracies, macs, chosen, RESAMPLES, seed)
            rows.append(_rule(name, original, accuracies[chosen], found))
        everything = agreement.accept_everything(accuracies, macs, chosen, RESAMPLES, seed)
        rows.append(_rule(EVERYTHING, original, accuracies[chosen], everything))
    return rows


def _rule(proxy: str, original: str, accuracies: np.ndarray, found: Rule) -> dict[str, Cell]:
    single = len(accuracies) == 1
    counts = {name: value for name, value in asdict(found).items() if isinstance(value, int)}
    return {
        "proxy": proxy,
        "original": original,
        "original_accuracy": float(accuracies[0]) if single else None,
        **counts,
        "base": found.base,
        **_estimate("precision", found.precision),
        **_estimate("recall", found.recall),
    }


def _estimate(name: str, estimate: Estimate) -> dict[str, Cell]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
