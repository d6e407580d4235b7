"""The latency of whole networks beside the sum of their operators; writes docs/data/performance/composition.csv.

    python -m benchmarks.composition [MODEL...]

A search promises the sum of what the store says of a network's operators, so the two should agree. The store is the
usual one; what it lacks is timed first. Its timings may be from a time when the machine was faster or slower. So every
operator, with its schedule and cold weights as it was timed for the store, is also timed in turns with the network, and
the sum of these shares of the network's latency is what the last column is about.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.kernel import build_kernel
from loopwright.lowering.network import compile_network
from loopwright.lowering.schedules.schedule import CpuSchedule
from loopwright.measurement.build import compile_function
from loopwright.measurement.device import device_of
from loopwright.measurement.timer import Call, Protocol, measure
from loopwright.measurement.workload import WeightCopies, cold_call
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.report.numbers import write_csv
from loopwright.search.timing import EPILOGUE, OperatorLatencies
from loopwright.search.tuning import TRIED, protocol_for
from loopwright.store import Store, default_path
from loopwright.targets.cpu import cpu

PAGE = Path(__file__).parent.parent / "docs" / "data" / "performance" / "composition.csv"
ROUNDS, SAMPLE_MS = 7, 15.0
MODELS = ("resnet18", "resnet34", "resnext29_2x64d", "densenet161")


def main() -> None:
    """Measures the networks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=MODELS)
    rows = [row(model) for model in parser.parse_args().models]
    write_csv(PAGE, rows)


def row(model: str) -> dict[str, str | float]:
    """The figures of one network: latencies in milliseconds, and the network's over the sum of its operators'."""
    source = resolve(model)
    network = trace(source.build(), torch.zeros(source.input_shape), model)
    protocol = protocol_for(network)
    with Store.open(default_path()) as store:
        latencies = OperatorLatencies(source.input_shape[0], cpu(), store, protocol, TRIED)
        compiled = compile_network(network, network.module, cpu(), latencies.schedule)
        forms = [operator_form(layer.operator.nest()) for layer in network.layers if layer.operator is not None]
        stored = sum(latencies.of_form(form).latency_ms for form in forms)
        schedules = {form.key: (form, latencies.of_form(form).schedule) for form in forms}
    images = np.random.default_rng(0).standard_normal(source.input_shape, dtype=np.float32)
    runner, counts = compiled.runner(images), Counter(form.key for form in forms)
    [alone] = measure([runner], Protocol(rounds=31, sample_ms=100.0))
    shares = [counts[key] * share(*schedules[key], runner, protocol) for key in counts]
    figures = {"network_ms": alone.median_ms, "stored_ms": stored, "ratio": 1 / sum(shares)}
    print(f"{model:20}", ", ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)
    return {"model": model, **figures}


def share(form: OperatorForm, schedule: CpuSchedule | None, network: Call, protocol: Protocol) -> float:
    """An operator's latency over the network's, timed in turns."""
    kernel = build_kernel(form, 1, EPILOGUE, cpu(), schedule)
    call = cold_call(kernel, compile_function(kernel.primfunc, cpu()), protocol, WeightCopies(device_of(cpu())))
    whole, own = measure([network, call], replace(protocol, rounds=ROUNDS, sample_ms=SAMPLE_MS))
    return own.median_ms / whole.median_ms


if __name__ == "__main__":
    main()
