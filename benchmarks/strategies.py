"""The exact strategy beside ten random searches, and evolution; adds to docs/data/search/strategies.csv.

    python -m benchmarks.strategies [--legality fisher] [--configurations 1000] [--operators 400]
        [--strategies exact,random] [--store FILE] [MODEL...]

All choose from the same timed operators, under the same check, with the same minibatch. A row has the sum of latencies
of the fastest legal network found, how many configurations were drawn and of how many the capacity was asked, and how
long it took beside timing. A random search asks about the fastest configurations first and ends with the first that is
legal, which is the one that asking about all would find.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

from loopwright.legality.capacity.sequential import CHECK as FISHER
from loopwright.models.given import GivenNetwork
from loopwright.models.images import load_minibatch
from loopwright.search.budget import OPERATORS, Budget
from loopwright.search.evaluation import Evaluation, Size
from loopwright.search.funnel import Funnel
from loopwright.search.judge import Judge
from loopwright.search.pool import Offer, Pool, promising
from loopwright.search.progress import SilentProgress
from loopwright.search.run import CapacityCheck
from loopwright.search.savings import savings
from loopwright.search.space import Limits, SearchSpace
from loopwright.search.strategies import named
from loopwright.search.timing import OperatorLatencies
from loopwright.search.tuning import protocol_for
from loopwright.store import Store, default_path
from loopwright.targets.cpu import cpu

PAGE = Path(__file__).parent.parent / "docs" / "data" / "search" / "strategies.csv"
MODELS = ("resnet34", "resnext29_2x64d", "densenet161")
SEEDS = {"exact": 1, "evolution": 1, "random": 10}
IMAGES = 128


def main() -> None:
    """Searches the networks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=MODELS)
    parser.add_argument("--legality", default=FISHER)
    parser.add_argument("--configurations", type=int, default=1000)
    parser.add_argument("--operators", type=int, default=OPERATORS)
    parser.add_argument("--strategies", default=",".join(SEEDS))
    parser.add_argument("--store", default=default_path())
    given = parser.parse_args()
    runs = {name: SEEDS[name] for name in given.strategies.split(",")}
    for model in given.models:
        for row in searches(model, given.legality, Budget(given.configurations, given.operators), runs, given.store):
            print(*row.values(), flush=True)
            _append(row)


def searches(
    model: str, legality: str, budget: Budget, runs: Mapping[str, int], address: Path | str
) -> Iterator[dict[str, str | float]]:
    """A row for every search of one network, by each strategy of ``runs`` with so many seeds."""
    network = GivenNetwork.of(model, None, 0).traced()
    minibatch = load_minibatch(None, IMAGES, 0, network.input_shape)
    with ExitStack() as things:
        store = things.enter_context(Store.open(address))
        drawn = SearchSpace.of(network.workloads, random.Random(0), Limits())
        latencies = OperatorLatencies(network.input_shape[0], cpu(), store, protocol_for(network))
        with latencies:
            offer = promising(Offer(drawn, savings(network, drawn)), latencies.estimated, budget.operators)
            known = {key: latencies.of(choice).latency_ms for key, (_, choice) in offer.operators.items()}
            pool = Pool.of(offer, known)
        judge = things.enter_context(
            Judge.for_search(
                network, pool.space, minibatch, store, configurations=budget.configurations,
                calibrated=CapacityCheck(legality).of(network, minibatch, "cpu", store),
            )
        )  # fmt: skip
        _ = judge.original_score  # calibrates the check
        size = Size(network.parameters, network.parameters)
        for strategy, seeds in runs.items():
            for seed in range(seeds):
                enough, start = 1 if strategy == "random" else budget.configurations, monotonic()
                found = Evaluation(pool, judge, size, budget, enough, Funnel(SilentProgress()), SilentProgress())
                named(strategy).search(found, random.Random(seed), spread=legality != FISHER)
                yield {
                    "model": model,
                    "legality": legality,
                    "operators": sum(map(len, pool.space.choices.values())),
                    "strategy": strategy,
                    "seed": seed,
                    "original_ms": round(found.original_ms, 4),
                    "found_ms": round(found.best_ms, 4),
                    "drawn": len(found.judged),
                    "asked": len(found.margins),
                    "seconds": round(monotonic() - start, 1),
                }


def _append(row: dict[str, str | float]) -> None:
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    new = not PAGE.exists()
    with PAGE.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
