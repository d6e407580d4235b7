"""Holds many drawn derivations against every promise of the algebra, and writes down what was held.

``python -m scripts.soak --examples 20000`` runs the checks of ``tests/properties`` in several processes, in chunks with
a seed of their own, prints progress, and leaves a summary in docs/data/soak.json. The first breach ends the run with
the smallest derivation that hypothesis finds for it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from time import monotonic

SUMMARY = Path(__file__).parent.parent / "docs" / "data" / "soak.json"
CHUNK = 250
MOST_STEPS = 8


def pin(processors: Queue[set[int]]) -> None:
    """Gives a process processors of its own: two, so that parallel loops do run in parallel."""
    os.sched_setaffinity(0, processors.get())


def chunk(number: int, examples: int) -> Counter[str]:
    """Checks ``examples`` derivations drawn with seed ``number``; raises what the first broken check raises."""
    import torch
    from hypothesis import HealthCheck, Phase, given, seed, settings

    from tests.properties.checks import check
    from tests.strategies import Derivation, derivations

    torch.set_num_threads(1)
    done: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(derivations(MOST_STEPS))
    def holds(derivation: Derivation) -> None:
        done.update(check(derivation))
        done["derivations"] += 1

    holds()
    return done


def soak(examples: int, workers: int, first: int) -> tuple[Counter[str], float]:
    """All chunks, from seed ``first`` on; what was done, and the seconds it took."""
    start, total = monotonic(), Counter[str]()
    sizes = [min(CHUNK, examples - done) for done in range(0, examples, CHUNK)]
    context, usable = get_context("spawn"), sorted(os.sched_getaffinity(0))
    processors = context.Queue()
    for k in range(workers):
        processors.put({usable[2 * k % len(usable)], usable[(2 * k + 1) % len(usable)]})
    with ProcessPoolExecutor(workers, mp_context=context, initializer=pin, initargs=(processors,)) as pool:
        waiting = [pool.submit(chunk, first + k, size) for k, size in enumerate(sizes)]
        try:
            for future in as_completed(waiting):
                total.update(future.result())
                minutes = (monotonic() - start) / 60
                print(f"{total['derivations']:,} of {examples:,} derivations held, {minutes:.1f} min", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return total, monotonic() - start


def main() -> None:
    """The command."""
    usable = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=20_000, help="derivations to check")
    parser.add_argument("--workers", type=int, default=max(1, usable // 2), help="processes, of two processors each")
    parser.add_argument("--seed", type=int, default=0, help="of the first chunk")
    parser.add_argument("--out", type=Path, default=SUMMARY, help="where the summary goes")
    options = parser.parse_args()
    counts, seconds = soak(options.examples, options.workers, options.seed)
    packages = {name: version(name) for name in ("hypothesis", "islpy", "numpy", "torch")}
    summary = {
        "mismatches": 0,
        "seed": options.seed,
        "minutes": round(seconds / 60, 1),
        "workers": options.workers,
        "python": platform.python_version(),
        "packages": packages,
        "counts": dict(sorted(counts.items())),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"no mismatch in {counts['derivations']:,} derivations; summary in {options.out}")


if __name__ == "__main__":
    main()
