"""The trained accuracies of NAS-Bench-201 as a table, and which of its cells to score."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loopwright.errors import ArgumentError, DataError

CELL, ACCURACY = "arch", "cifar10_test"


@dataclass(frozen=True)
class TrainedCell:
    """A cell's architecture string and its CIFAR-10 test accuracy in per cent, the mean of its trainings."""

    cell: str
    accuracy: float


def read_table(path: Path) -> list[TrainedCell]:
    """The cells of a CSV file with columns ``arch`` and ``cifar10_test``, in its order.

    Raises `DataError` naming the file and what it should hold.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}; it should be a CSV file with columns {CELL} and {ACCURACY}")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not {CELL, ACCURACY} <= set(reader.fieldnames or ()):
            raise DataError(f"{path} has columns {', '.join(reader.fieldnames or ())}; needed: {CELL}, {ACCURACY}")
        try:
            table = [TrainedCell(row[CELL], float(row[ACCURACY])) for row in reader]
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    if not table:
        raise DataError(f"{path} holds no cells")
    return table


def drawn(table: list[TrainedCell], count: int | None, seed: int) -> list[TrainedCell]:
    """``count`` cells of the table in an order drawn with ``seed``, or all of them; a smaller count is a part of a
    larger one.

    Raises `ArgumentError` if there are not so many.
    """
    if count is not None and not 0 < count <= len(table):
        raise ArgumentError(f"{count} cells are asked for; there are {len(table)}")
    order = np.random.default_rng(seed).permutation(len(table))
    return [table[index] for index in order[:count]]
