"""The latency of whole networks beside the sum of what the store says of their operators; writes
docs/data/performance/composition.csv.

    python -m benchmarks.composition [MODEL...]

A search promises the sum, so the two should agree. The store is the usual one; what it lacks is timed first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from loopwright.ir.contraction import operator_form
from loopwright.lowering.network import compile_network
from loopwright.measurement.timer import Protocol, measure
from loopwright.models.network import Network
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.report.numbers import write_csv
from loopwright.search.timing import OperatorLatencies
from loopwright.search.tuning import TRIED, protocol_for
from loopwright.store import Store, default_path
from loopwright.targets.cpu import cpu

PAGE = Path(__file__).parent.parent / "docs" / "data" / "performance" / "composition.csv"
MODELS = ("resnet18", "resnet34", "resnext29_2x64d", "densenet161")


def main() -> None:
    """Measures the networks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=MODELS)
    rows = [row(model) for model in parser.parse_args().models]
    write_csv(PAGE, rows)


def row(model: str) -> dict[str, str | float]:
    """Both figures of one network, in milliseconds."""
    source = resolve(model)
    network = trace(source.build(), torch.zeros(source.input_shape), model)
    with Store.open(default_path()) as store:
        latencies = OperatorLatencies(source.input_shape[0], cpu(), store, protocol_for(network), TRIED)
        compiled = compile_network(network, network.module, cpu(), latencies.schedule)
        total_ms = sum_of_operators(network, latencies)
    images = np.random.default_rng(0).standard_normal(source.input_shape, dtype=np.float32)
    [measured] = measure([compiled.runner(images)], Protocol(rounds=31, sample_ms=100.0))
    ratio = measured.median_ms / total_ms
    print(f"{model:20} network {measured.median_ms:6.2f} ms, operators {total_ms:6.2f} ms, ratio {ratio:.3f}")
    return {"model": model, "network_ms": measured.median_ms, "operators_ms": total_ms, "ratio": ratio}


def sum_of_operators(network: Network, latencies: OperatorLatencies) -> float:
    """Milliseconds of all convolutions and matrix products, each as the store has it."""
    operators = [layer.operator for layer in network.layers if layer.operator is not None]
    return sum(latencies.of_form(operator_form(operator.nest())).latency_ms for operator in operators)


if __name__ == "__main__":
    main()
