"""Networks scored by every proxy, on one process or several, each score kept in a file as soon as it is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from loopwright.errors import ArgumentError, DataError
from loopwright.legality.proxies import registered
from loopwright.models.images import Minibatch, load_minibatch
from loopwright.models.resolve import resolve
from loopwright.reproduction.places import on_places

Scores = Mapping[str, float]
MODEL = "model"


@dataclass(frozen=True)
class Setup:
    """What a score depends on: ``count`` images drawn with ``seed`` from the folder ``images`` (from the packaged
    CIFAR-10 sample without it), and weights drawn with ``seed``."""

    images: Path | None
    count: int
    seed: int

    def minibatch(self) -> Minibatch:
        """The minibatch that all networks are scored on; DataError for an unusable folder."""
        return _minibatch(self)

    def described(self) -> dict[str, object]:
        """What two runs must have in common for their scores to belong together."""
        minibatch = self.minibatch()
        return {
            "images": minibatch.source,
            "fingerprint": minibatch.fingerprint,
            "seed": self.seed,
            "proxies": sorted(registered()),
        }


@cache
def _minibatch(setup: Setup) -> Minibatch:
    return load_minibatch(setup.images, setup.count, setup.seed, (1, 3, 32, 32))


def score_model(model: str, setup: Setup, device: str) -> dict[str, float]:
    """The score of every proxy of the network that ``model`` names, initialised on the CPU and scored on ``device``."""
    module = resolve(model).build(setup.seed).to(device)
    return {name: proxy.score(module, setup.minibatch()) for name, proxy in registered().items()}


class ScoreFile:
    """A CSV file of scores, one line a network, that grows line by line; what a killed run has written counts.

    Beside it lies ``NAME-setup.json``, so that scores of different minibatches or weights never meet in one file.
    """

    def __init__(self, path: Path, setup: Mapping[str, object]):
        self.path, self._columns = path, [MODEL, *registered()]
        self._check_setup(setup)
        self.known: dict[str, dict[str, float]] = dict(self._read())
        self._write_all()

    def add(self, model: str, scores: Scores) -> None:
        """Appends a line; nine digits of each score are kept, as they will be read again."""
        self.known[model] = {name: float(_text(score)) for name, score in scores.items()}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(self._line(model))

    def _check_setup(self, setup: Mapping[str, object]) -> None:
        file = self.path.with_name(f"{self.path.stem}-setup.json")
        text = json.dumps(setup, indent=2) + "\n"
        if file.exists() and file.read_text(encoding="utf-8") != text:
            raise ArgumentError(
                f"{self.path} holds scores of another setup (other images, seed or proxies, see {file.name}); "
                "give another folder as --out"
            )
        file.write_text(text, encoding="utf-8")

    def _read(self) -> Iterator[tuple[str, dict[str, float]]]:
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        rows = list(csv.reader(line for line in lines if line.endswith("\n")))  # a killed run may cut its last line
        if rows and rows[0] != self._columns:
            raise DataError(f"{self.path} has columns {', '.join(rows[0])}; expected {', '.join(self._columns)}")
        for row in rows[1:]:
            yield row[0], dict(zip(self._columns[1:], map(float, row[1:]), strict=True))

    def _write_all(self) -> None:
        part = self.path.with_name(f"{self.path.name}.part")
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([self._columns, *map(self._line, self.known)])
        part.replace(self.path)

    def _line(self, model: str) -> list[str]:
        return [model, *(_text(self.known[model][name]) for name in self._columns[1:])]


def _text(score: float) -> str:
    return f"{score:.9g}"


def score_all(
    models: Sequence[str], setup: Setup, places: Sequence[str], workers: int = 1
) -> Iterator[tuple[str, dict[str, float]]]:
    """Each model with its scores, as soon as they are known: by ``workers`` processes on each of ``places``, devices
    of PyTorch; one worker on one place is this process.

    Raises what scoring raises.
    """
    yield from on_places(partial(_scored, setup), models, list(places) * workers)


def _scored(setup: Setup, model: str, device: str) -> dict[str, float]:
    return score_model(model, setup, device)
