"""Writes the tables of docs/legality.md from the proxies and from the measurements in docs/data; a test holds that
the page is up to date."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from math import isnan, sqrt
from pathlib import Path

import numpy as np

from loopwright.legality.capacity import CONFIDENCE, DropPredictor, Prediction, Table, shipped
from loopwright.legality.capacity.comparison import ROUNDING
from loopwright.legality.capacity.crossvalidation import Confusion, predictions
from loopwright.legality.capacity.features import FEATURES
from loopwright.legality.proxies import registered
from loopwright.reproduction.fig3 import TOP_QUARTER
from scripts.ground_truth.__main__ import ACCURACIES, SPECS
from scripts.ground_truth.crossvalidating import TOLERANCE
from scripts.ground_truth.results import mean_accuracies, read_rows
from scripts.ground_truth.specs import read_specs

DOCS = Path(__file__).parent.parent / "docs"
PAGE, TEXT, DATA = DOCS / "legality.md", Path(__file__).parent / "legality.md", DOCS / "data" / "fig3"
AGREEMENT, CHECKS = (DOCS / "data" / "legality" / name for name in ("fisher_agreement.csv", "crossvalidation.csv"))
OWN = DOCS / "data" / "legality" / "resnet18.csv"
FIRST_FRESH = "n270"
"""The networks from this one on were drawn and trained after everything about the check was settled."""

Rows = list[dict[str, str]]


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The text, each ``{name}`` in it replaced."""
    summary, rules = _rows("fig3-summary.csv"), _rows("fig3-rules.csv")
    parts = {
        "cells": summary[0]["cells"],
        "proxies": _table(["proxy", "follows"], [[f"`{name}`", own.paper] for name, own in registered().items()]),
        "agreement": agreement(),
        **calibrated(),
        "correlations": correlations(summary),
        "rule": rule([row for row in rules if row["original"] == TOP_QUARTER]),
        "originals": originals([row for row in rules if row["original"] != TOP_QUARTER]),
    }
    text = TEXT.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text


def calibrated() -> dict[str, str]:
    """Figures of the packaged calibration, and how it compares."""
    table, rows = shipped(), read_rows(ACCURACIES)
    specs, means = read_specs(SPECS), mean_accuracies(rows)
    tried = {row.id for row in rows}
    legal = [spec for spec in specs[1:] if not spec.structure and spec.id in tried]
    shares = [100 * spec.macs_share for spec in legal if spec.id in means]
    illegal = [means[specs[0].id] - means[spec.id] for spec in specs if spec.structure and spec.id in means]
    return {
        "images": str(table.images),
        "names": ", ".join(f"`{name}`" for name in FEATURES),
        "confidence": f"{CONFIDENCE:g}",
        "networks": str(len(table.networks)),
        "tried": str(len(legal)),
        "least_macs": f"{min(shares):.0f}",
        "most_macs": f"{max(shares):.0f}",
        "deviation": f"{table.original.error * sqrt(sum(row.id == specs[0].id for row in rows)):.2f}",
        "illegal": str(len(illegal)),
        "best_illegal": f"{min(illegal):.1f}",
        "checks": checks(),
        "fresh": fresh(table),
        "transfer": transfer(table),
    }


def fresh(table: Table) -> str:
    """How the check does on the networks that came last, fitted to those before them alone."""
    early = [own.id < FIRST_FRESH for own in table.networks]
    late = table.only(not own for own in early)
    found = _accepted(DropPredictor.of(table.only(early)).predict_all(late.features()), late)
    return (
        f"of {found.networks} networks, {found.accepted} were accepted, {found.accepted_good} of them rightly, out of "
        f"{found.good} that were good"
    )


def transfer(table: Table) -> str:
    """The packaged table on ResNet-18, and a table of ResNet-18's own, as `loopwright calibrate` made it."""
    own = Table.read(OWN)
    rules = {
        "calibrated, the packaged table": _accepted(DropPredictor.of(table).predict_all(own.features()), own),
        "calibrated, its own table, without the network judged": _accepted(predictions(own), own),
    }
    for name in FEATURES:
        rules[name] = Confusion.of(own.features((name,))[:, 0] >= -ROUNDING, own.drops <= TOLERANCE)
    return _table(
        ["check", "accepted", "precision", "recall"],
        [
            [
                name,
                f"{found.accepted} of {found.networks}",
                _shown(found.precision, found.precision_interval) if found.accepted else "none accepted",
                _shown(found.recall, found.recall_interval),
            ]
            for name, found in rules.items()
        ],
    )


def _accepted(found: Sequence[Prediction | None], table: Table) -> Confusion:
    chances = np.array([0.0 if own is None else own.probability(TOLERANCE) for own in found])
    return Confusion.of(chances >= CONFIDENCE, table.drops <= TOLERANCE)


def _shown(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.0%} ({interval[0]:.0%} to {interval[1]:.0%})"


def checks() -> str:
    """Precision and recall of every check on the ground truth."""
    with CHECKS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [
        [
            "**calibrated**" if row["check"] == "calibrated" else row["check"],
            f"{row['accepted']} of {row['networks']}",
            _estimate(row, "precision", ".0%") if int(row["accepted"]) else "none accepted",
            _estimate(row, "recall", ".0%"),
            f"{float(row['hindsight_precision']):.0%}",
        ]
        for row in rows
    ]
    return _table(["check", "accepted", "precision", "recall", "precision at recall 50 %, in hindsight"], lines)


def agreement() -> str:
    """On how many configurations a search's verdict is that of all images at once."""
    with AGREEMENT.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    agreed = sum(row["legal"] == row["exact_legal"] for row in rows)
    images = sum(int(row["images"]) for row in rows) / len(rows)
    return f"{agreed} of {len(rows)} configurations, with {images:.0f} images each on average"


def correlations(rows: Rows) -> str:
    """Spearman and Kendall of every proxy."""
    lines = [
        [
            f"`{row['proxy']}`",
            _estimate(row, "spearman", "+.2f"),
            _estimate(row, "kendall", "+.2f"),
            row["without_score"],
        ]
        for row in rows
    ]
    return _table(["proxy", "Spearman", "Kendall", "cells without a score"], lines)


def rule(rows: Rows) -> str:
    """What the rule comes to, summed over the originals."""
    rows = sorted(rows, key=lambda row: -float(row["precision"]) if not isnan(float(row["precision"])) else 2.0)
    lines = [
        [
            row["proxy"],
            f"{int(row['accepted']) / int(row['candidates']):.0%}",
            _estimate(row, "precision", ".0%"),
            _estimate(row, "recall", ".0%"),
        ]
        for row in rows
    ]
    return _table(["proxy", "accepted", "precision", "recall"], lines)


def originals(rows: Rows) -> str:
    """One column an original, one line a proxy."""
    names = list(dict.fromkeys(row["original"] for row in rows))
    accuracies = {row["original"]: float(row["original_accuracy"]) for row in rows}
    lines = [
        [
            proxy,
            *(_pair(next(row for row in rows if (row["proxy"], row["original"]) == (proxy, name))) for name in names),
        ]
        for proxy in dict.fromkeys(row["proxy"] for row in rows)
    ]
    return _table(["original, accuracy %", *(f"{accuracies[name]:.2f}" for name in names)], lines)


def _pair(row: dict[str, str]) -> str:
    return " / ".join("-" if isnan(float(row[name])) else f"{float(row[name]):.0%}" for name in ("precision", "recall"))


def _estimate(row: dict[str, str], name: str, form: str) -> str:
    value, low, high = (float(row[key]) for key in (name, f"{name}_low", f"{name}_high"))
    return "-" if isnan(value) else f"{value:{form}} ({low:{form}} to {high:{form}})"


def _table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rows(name: str) -> Rows:
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
