"""How fast and how faithful judging by Fisher Potential is: ResNet-34 of seed 0, 128 images.

    python -m benchmarks.fisher time [--configurations N] [--workers N] [--ray ADDRESS]
    python -m benchmarks.fisher workers [--ray ADDRESS]
    python -m benchmarks.fisher agreement [--configurations N] [--seconds S]
    python -m benchmarks.fisher time --device cuda

``time`` judges the configurations that `loopwright optimize resnet34` judges, with an empty store, and says what the
parts of it took. ``workers`` judges some of them on 32 images by one worker and by two, and says how many a minute.
``agreement`` holds the decisions on legal configurations, drawn with the same seed, against their
scores on all 128 images; it appends to docs/data/legality/fisher_agreement.csv, goes on where it was interrupted, and
stops after S seconds. Everything runs without TVM.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import monotonic, perf_counter

import torch

from loopwright.legality.verdict import Verdict
from loopwright.models.devices import require_device
from loopwright.models.images import Minibatch, load_minibatch
from loopwright.models.network import Network
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.search.judge import Judge
from loopwright.search.space import Choice, Limits, SearchSpace
from loopwright.search.workers import Crew, LocalCrew, RayCrew
from loopwright.store import Store
from loopwright.targets.cpu import usable_processors

TABLE = Path(__file__).parent.parent / "docs" / "data" / "legality" / "fisher_agreement.csv"
FIELDS = ("seed", "configuration", "exact", "exact_original", "estimate", "images", "exact_legal", "legal")
MODEL, SEED, IMAGES = "resnet34", 0, 128
SHARED, WARMING, SHARED_IMAGES = 46, 12, 32
"""How many configurations `workers` judges, how many of them before the clock starts, and on how many images."""
ROUND = 20
"""Configurations after which the time that is left is looked at."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What `loopwright optimize` searches, and with which random numbers it goes on from there."""

    network: Network
    space: SearchSpace
    minibatch: Minibatch
    rng: random.Random

    @classmethod
    def of(cls, seed: int, limits: Limits | None = None) -> Setting:
        """That of a run with this seed."""
        source = resolve(MODEL)
        network = trace(source.build(seed), torch.zeros(source.input_shape), MODEL)
        rng = random.Random(seed)
        space = SearchSpace.of(network.workloads, rng, limits or Limits())
        return cls(network, space, load_minibatch(None, IMAGES, seed, source.input_shape), rng)

    def draws(self, count: int) -> Iterator[Mapping[str, Choice]]:
        """The choices of ``count`` configurations."""
        for _ in range(count):
            yield self.space.chosen(self.space.draw(self.rng))


def time(configurations: int, device: str, crew: Crew) -> None:
    """Prints how long judging takes, from the traced network on."""
    began = perf_counter()
    setting = Setting.of(SEED)
    ready = perf_counter()
    print(f"trace and search space: {ready - began:.1f} s")
    structure_s, verdicts = 0.0, []
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.sqlite") as store:
        judge = Judge.for_search(
            setting.network, setting.space, setting.minibatch, store,
            configurations=configurations, seed=SEED, device=device, crew=crew,
        )  # fmt: skip

        def legal_by_structure() -> Iterator[Mapping[str, Choice]]:
            nonlocal structure_s
            for choices in setting.draws(configurations):
                start = perf_counter()
                legal = judge.structure(choices).legal
                structure_s += perf_counter() - start
                if legal:
                    yield choices

        with judge:
            print(f"original: {judge.original_score:.4g}")
            calibrated = perf_counter()
            print(f"original and panel, on all images: {calibrated - ready:.1f} s")
            for number, verdict in enumerate(judge.capacities(legal_by_structure()), 1):
                verdicts.append(verdict)
                if number % 100 == 0:
                    print(f"  {number} after {perf_counter() - calibrated:.1f} s", flush=True)
    end = perf_counter()
    print(f"{configurations} configurations, {len(verdicts)} legal by structure ({structure_s:.1f} s for that check)")
    print(f"their Fisher Potential, by {device}: {end - calibrated:.1f} s; {_images(verdicts)}")
    print(f"configurations a minute: {60 * configurations / (end - calibrated):.0f}")
    print(f"accepted: {sum(verdict.legal for verdict in verdicts)}")
    print(f"judging in all: {end - ready:.1f} s; with tracing and drawing the space: {end - began:.1f} s")


def workers(crews: Mapping[str, Crew]) -> None:
    """Prints how many configurations a minute each crew judges, all the same ones. There are so few operators that
    every process has met most of them before the clock starts, as in all but the first minute of a run."""
    setting = Setting.of(SEED, Limits(operators=3))
    minibatch, some = setting.minibatch.first(SHARED_IMAGES), list(setting.draws(SHARED))
    for name, crew in crews.items():
        with (
            tempfile.TemporaryDirectory() as folder,
            Store.open(Path(folder) / "store.sqlite") as store,
            Judge.for_search(
                setting.network, setting.space, minibatch, store, configurations=SHARED, seed=SEED, crew=crew
            ) as judge,
        ):
            list(judge.capacities(some[:WARMING]))
            start = perf_counter()
            list(judge.capacities(some[WARMING:]))
            rate = 60 * (len(some) - WARMING) / (perf_counter() - start)
            print(f"{name}: {rate:.0f} configurations a minute", flush=True)


def _images(verdicts: list[Verdict]) -> str:
    counts = Counter(int(verdict.scores["images"]) for verdict in verdicts)
    return ", ".join(f"{count} by {images} images" for images, count in sorted(counts.items()))


def agreement(configurations: int, seed: int, seconds: float) -> None:
    """Fills the table up to so many legal configurations, and prints what share of the decisions agrees."""
    end = monotonic() + seconds
    setting = Setting.of(seed)
    done = {int(row["configuration"]) for row in _rows() if int(row["seed"]) == seed}
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(Path(folder) / "store.sqlite") as store,
        Judge.for_search(
            setting.network, setting.space, setting.minibatch, store, configurations=1000, seed=seed
        ) as judge,
    ):
        legal = (choices for choices in setting.draws(10 * configurations) if judge.structure(choices).legal)
        left = [numbered for numbered in enumerate(islice(legal, configurations)) if numbered[0] not in done]
        while left and monotonic() < end:
            some, left = left[:ROUND], left[ROUND:]
            verdicts = list(judge.capacities(choices for _, choices in some))
            exacts = judge.exacts(choices for _, choices in some)
            for (number, _), verdict, exact in zip(some, verdicts, exacts, strict=True):
                _append(seed, number, exact, verdict)
    _summarize()


def _append(seed: int, number: int, exact: Verdict, verdict: Verdict) -> None:
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    new = not TABLE.exists()
    with TABLE.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(FIELDS)
        scores = (exact.scores["fisher"], exact.scores["fisher_original"], verdict.scores["fisher"])
        images = int(verdict.scores["images"])
        writer.writerow([seed, number, *(f"{score:.6g}" for score in scores), images, exact.legal, verdict.legal])


def _rows() -> list[dict[str, str]]:
    if not TABLE.exists():
        return []
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _summarize() -> None:
    rows = _rows()
    for seed in sorted({row["seed"] for row in rows}):
        own = [row for row in rows if row["seed"] == seed]
        agreed = sum(row["exact_legal"] == row["legal"] for row in own)
        images = sum(int(row["images"]) for row in own) / len(own)
        print(
            f"seed {seed}: {agreed} of {len(own)} decisions agree ({agreed / len(own):.1%}), {images:.1f} images each"
        )


def main() -> None:
    """Runs the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("part", choices=("time", "workers", "agreement"))
    parser.add_argument("--configurations", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--ray", metavar="ADDRESS")
    given = parser.parse_args()
    require_device(given.device)
    if given.part == "workers":
        with RayCrew.connect(given.ray, 2) if given.ray else nullcontext() as cluster:
            two = {"two on Ray": cluster} if cluster else {"two": LocalCrew(2)}
            workers({**two, "one": LocalCrew(1)})
    elif given.part == "time":
        with RayCrew.connect(given.ray, given.workers) if given.ray else nullcontext() as cluster:
            time(given.configurations or 1000, given.device, cluster or LocalCrew(given.workers or usable_processors()))
    else:
        agreement(given.configurations or 200, given.seed, given.seconds)


if __name__ == "__main__":
    main()
