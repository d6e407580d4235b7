"""Accuracies of trained networks as a table, one line a training."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean

from loopwright.training.short import Outcome


@dataclass(frozen=True)
class Row:
    """One training. Empty accuracies: its steps would have taken too long."""

    id: str
    seed: int
    accuracy: str
    accuracy_mirrored: str
    train_loss: str
    epochs: int
    step_ms: str
    seconds: str
    device: str

    @classmethod
    def of(cls, spec_id: str, seed: int, epochs: int, outcome: Outcome, device: str) -> Row:
        """The outcome, rounded to what it is good for."""
        shown = [
            "" if value is None else f"{value:.{digits}f}"
            for value, digits in (
                (outcome.accuracy, 2),
                (outcome.accuracy_mirrored, 2),
                (outcome.train_loss, 4),
                (outcome.step_ms, 2),
                (outcome.seconds, 1),
            )
        ]
        return cls(spec_id, seed, shown[0], shown[1], shown[2], epochs, shown[3], shown[4], device)


FIELDS = [field.name for field in fields(Row)]


def read_rows(path: Path) -> list[Row]:
    """All rows of a file; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(**{**row, "seed": int(row["seed"]), "epochs": int(row["epochs"])}) for row in csv.DictReader(file)]


def accuracies(rows: Iterable[Row]) -> dict[str, list[float]]:
    """The accuracies of every network in percent, with mirrored images, one for each seed that was trained."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.accuracy_mirrored:
            found.setdefault(row.id, []).append(float(row.accuracy_mirrored))
    return found


def mean_accuracies(rows: Iterable[Row]) -> dict[str, float]:
    """The same, averaged over the seeds."""
    return {name: mean(values) for name, values in accuracies(rows).items()}


def append(path: Path, row: Row) -> None:
    """Adds a row, and the header to a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """A whole table, ordered by network and seed."""
    path.unlink(missing_ok=True)
    for row in sorted(rows, key=lambda row: (row.id, row.seed)):
        append(path, row)
