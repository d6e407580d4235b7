"""How fast a large store opens and answers; prints a table, and writes docs/data/performance/store-*.csv.

    python -m benchmarks.store [--store postgresql://USER@HOST/EMPTY_DATABASE]

The store holds 100,000 verdicts on networks of 36 layers and 1,000,000 samples, 9 to a recording as a search takes
them, of 8 schedules for each operator. Opening is timed in processes of their own, which have imported what they need.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from loopwright.passwords import hide_passwords
from loopwright.report.numbers import write_csv
from loopwright.store import Store, TimingKey, VerdictKey, schema

PAGE = Path(__file__).parent.parent / "docs" / "data" / "performance" / "store.csv"
VERDICTS, SAMPLES = 100_000, 1_000_000
LAYERS, SCHEDULES, ROUNDS = 36, 8, 9
TARGET, ENVIRONMENT = "cpu", "2dc5feba0c08ff02"
PROTOCOL = "Protocol(rounds=9, sample_ms=2.0, warm_up=2, cold_bytes=117440512, passed_bytes=4194304, copies=1024)"
KINDS = ("not below the original's", "below the original's", "receptive field", "input coverage")
ROWS_AT_ONCE = 2000
REPEATS = 5
OPENING = """
import sys
from time import perf_counter
from loopwright.store import Store
Store.open(sys.argv[2])
began = perf_counter()
Store.open(sys.argv[1])
print(perf_counter() - began)
"""


def main() -> None:
    """Builds the store, in a temporary file unless the command line names another, and times it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", metavar="ADDRESS", help="an empty database, or a file to make")
    with tempfile.TemporaryDirectory() as folder:
        where = parser.parse_args().store or str(Path(folder) / "store.sqlite")
        began = perf_counter()
        with Store.open(where) as store:
            if store.counts().timings == 0:
                fill(store)
            print(f"{hide_passwords(where)}: {store.counts()}, built in {perf_counter() - began:.0f} s", flush=True)
            rows = [{"what": "open", "seconds": opening_s(where, folder)}]
            rows += [{"what": what, "seconds": seconds(ask)} for what, ask in questions(store).items()]
    for row in rows:
        print(f"{row['what']:48} {row['seconds']:8.4f} s")
    kind = "postgresql" if "://" in where else "sqlite"
    write_csv(PAGE.with_stem(f"store-{kind}"), rows)


def opening_s(where: str, folder: str) -> float:
    """Seconds that opening the store takes, in processes that have opened another before."""
    command = [sys.executable, "-c", OPENING, where, str(Path(folder) / "other.sqlite")]
    done = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(REPEATS)]
    return median(float(run.stdout) for run in done)


def questions(store: Store) -> dict[str, Callable[[], object]]:
    """What a search and a report ask."""
    some = [operator(number) for number in range(0, 13_000, 26)]
    return {
        "one verdict": lambda: store.verdict(verdict_key(50_000)),
        "one timing": lambda: store.timing(timing_key(50_000)),
        "the timings of one operator": lambda: store.timings(operator(77), TARGET, ENVIRONMENT),
        f"the timings of {len(some)} operators": lambda: store.timings_by_operator(TARGET, ENVIRONMENT, some),
        "verdicts by check and kind of reason": store.verdict_counts,
        "the same of one network": lambda: store.verdict_counts(network(3)),
        "counts of all records": store.counts,
    }


def seconds(ask: Callable[[], object]) -> float:
    """The median of several times; what is asked is never empty."""
    taken = []
    for _ in range(REPEATS):
        began = perf_counter()
        answer = ask()
        taken.append(perf_counter() - began)
        assert answer, "nothing was found"
    return median(taken)


def fill(store: Store) -> None:
    """All records, many to a transaction."""
    store.record_environment(ENVIRONMENT, {"processor": "any"})
    for table, rows in ((schema.timings, timings()), (schema.verdicts, verdicts())):
        while part := list(islice(rows, ROWS_AT_ONCE)):
            with store._writing() as connection:
                connection.execute(table.insert(), part)


def timings() -> Iterator[dict[str, Any]]:
    """Recordings of `ROUNDS` samples each."""
    rng = random.Random(0)
    for number in range(SAMPLES // ROUNDS + 1):
        key = timing_key(number)
        samples = [rng.lognormvariate(-3, 0.1) for _ in range(min(ROUNDS, SAMPLES - number * ROUNDS))]
        yield {**asdict(key), "digest": key.digest, "samples_ms": samples}


def verdicts() -> Iterator[dict[str, Any]]:
    """Verdicts on 10 networks, four kinds of reasons in turns."""
    for number in range(VERDICTS):
        key, kind = verdict_key(number), KINDS[number % len(KINDS)]
        scores = {"score": number / 7, "original": 0.0701}
        said = {"legal": number % 4 == 0, "reason": f"{kind}: {number}", "kind": kind, "witness": None}
        yield {**asdict(key), "digest": key.digest, "scores": scores, **said}


def timing_key(number: int) -> TimingKey:
    """The key of a recording: `SCHEDULES` for each operator."""
    schedule = f"lanes=16 channels={number % SCHEDULES} rows=1 columns=7 prefetch=64"
    return TimingKey(operator(number // SCHEDULES), TARGET, schedule, ENVIRONMENT, PROTOCOL)


def verdict_key(number: int) -> VerdictKey:
    """The key of a verdict on a network of `LAYERS` layers."""
    rng = random.Random(number)
    layers = "; ".join(f"stages.{layer // 6}.{layer % 6}.conv1: {rng.getrandbits(96):024x}" for layer in range(LAYERS))
    return VerdictKey(network(number % 10), layers, "fisher" if number % 2 else "structure", f"{1:064x}")


def operator(number: int) -> str:
    """As the search names one."""
    return f"{number * 0x9E3779B97F4A7C15:024x} n=1"


def network(number: int) -> str:
    """As the judge names one."""
    return f"{number:064x}"


if __name__ == "__main__":
    main()
