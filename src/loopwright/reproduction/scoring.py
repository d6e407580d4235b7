"""Networks scored by every proxy, on one process or several, each score kept in a file as soon as it is known."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import torch

from loopwright.errors import ArgumentError, DataError
from loopwright.legality.proxies import registered
from loopwright.models.images import Minibatch, load_minibatch
from loopwright.models.resolve import resolve

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


def devices(name: str) -> list[str]:
    """``cuda`` as every GPU that there is, any other device as itself; ArgumentError if PyTorch has no such device."""
    if name == "cpu":
        return [name]
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if name == "cuda" and gpus:
        return gpus
    if name not in gpus:
        raise ArgumentError(f"there is no device {name!r} here; there are: {', '.join(['cpu', *gpus])}")
    return [name]


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
    if workers == 1 and len(places) == 1:
        for model in models:
            yield model, score_model(model, setup, places[0])
        return
    with _pools(places, workers) as pools:
        waiting: dict[Future[dict[str, float]], str] = {}
        for number, model in enumerate(models):
            place = places[number % len(places)]
            waiting[pools[place].submit(score_model, model, setup, place)] = model
        for done in as_completed(waiting):
            yield waiting.pop(done), done.result()


@contextmanager
def _pools(places: Sequence[str], workers: int) -> Iterator[dict[str, ProcessPoolExecutor]]:
    threads = max(1, (os.cpu_count() or 1) // (workers * len(places)))
    pools = {place: ProcessPoolExecutor(workers, get_context("spawn"), _begin, (threads,)) for place in places}
    try:
        yield pools
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)


def _begin(threads: int) -> None:
    """In a worker: it ends silently when interrupted, and leaves processors for the others."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(threads)
