"""Trained networks and what the proxies said of them: what the calibrated check learns from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loopwright.errors import DataError
from loopwright.files import write_atomically
from loopwright.legality.capacity.features import FEATURES, features

SHIPPED = "resnet34-cifar10.csv"
FIELDS = ("id", "families", "drop", "error", *FEATURES)


@dataclass(frozen=True)
class Trained:
    """A trained network. ``families`` are the recipes it was made with, ``drop`` the points of accuracy that it lost
    against the original, averaged over seeds, ``error`` the standard error of that in points, and ``scores`` what the
    proxies say of it at initialisation."""

    id: str
    families: frozenset[str]
    drop: float
    error: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Table:
    """The ``original`` and networks made from it. All scores are of one minibatch of ``images``."""

    original: Trained
    networks: tuple[Trained, ...]
    images: int

    def features(self, names: tuple[str, ...] = FEATURES) -> np.ndarray:
        """(networks, names); see `loopwright.legality.capacity.features`."""
        return np.array([features(own.scores, self.original.scores, names) for own in self.networks])

    @property
    def drops(self) -> np.ndarray:
        """In points, (networks,)."""
        return np.array([own.drop for own in self.networks])

    @property
    def errors(self) -> np.ndarray:
        """Standard errors in points, (networks,)."""
        return np.array([own.error for own in self.networks])

    def only(self, keep: Iterable[bool]) -> Table:
        """With some of the networks."""
        kept = tuple(own for own, wanted in zip(self.networks, keep, strict=True) if wanted)
        return Table(self.original, kept, self.images)

    @property
    def text(self) -> str:
        """As CSV, the original first; the first line says how many images the scores are of."""
        file = io.StringIO()
        file.write(f"# images: {self.images}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for own in (self.original, *self.networks):
            scores = [f"{own.scores[name]:.9g}" for name in FEATURES]
            families = " ".join(sorted(own.families))
            writer.writerow([own.id, families, f"{own.drop:.3f}", f"{own.error:.3f}", *scores])
        return file.getvalue()

    def write(self, path: Path) -> None:
        """Writes the text; `ArgumentError` where the file can't be written."""
        write_atomically(path, self.text)

    @classmethod
    def read(cls, path: Path) -> Table:
        """What `write` wrote. Raises `DataError` for a file that is none."""
        try:
            return cls._parsed(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, KeyError, ValueError) as error:
            raise DataError(f"{path} is no calibration table ({error}); make one with `loopwright calibrate`") from None

    @classmethod
    def _parsed(cls, text: str) -> Table:
        head, *lines = text.splitlines()
        if not head.startswith("# images: "):
            raise ValueError("its first line does not say how many images were scored")
        original, *networks = map(_trained, csv.DictReader(lines))
        return cls(original, tuple(networks), int(head.removeprefix("# images: ")))


def shipped() -> Table:
    """ResNet-34s on CIFAR-10, trained for four epochs on part of the training images: docs/legality.md."""
    return Table.read(Path(__file__).with_name(SHIPPED))


def _trained(row: Mapping[str, str]) -> Trained:
    return Trained(
        row["id"],
        frozenset(row["families"].split()),
        float(row["drop"]),
        float(row["error"]),
        {name: float(row[name]) for name in FEATURES},
    )
