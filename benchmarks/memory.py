"""The memory that running a compiled network takes beside its weights and largest activations; writes
docs/data/performance/memory.csv.

    python -m benchmarks.memory [MODEL...]

Each network is written as a shared library, then loaded and run ten times by a fresh process that has TVM's runtime
alone. Its peak memory less what it was before loading is held against the weights and the two largest activations.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from math import prod
from pathlib import Path

import torch

from loopwright.compiling import write_network
from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.report.numbers import write_csv
from loopwright.search.tuning import Tuning

PAGE = Path(__file__).parent.parent / "docs" / "data" / "performance" / "memory.csv"
MODELS = ("resnet34", "resnext29_2x64d", "densenet161")
MIB = 1024**2
CHILD = """
import sys
from pathlib import Path
import numpy as np
import tvm
from tvm import relax

def peak_bytes():
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])

x = tvm.runtime.tensor(np.zeros([int(size) for size in sys.argv[2].split(",")], "float32"))
Path("/proc/self/clear_refs").write_text("5")  # the peak is what is used now
before = peak_bytes()
machine = relax.VirtualMachine(tvm.runtime.load_module(sys.argv[1]), tvm.cpu())
for _ in range(10):
    machine["main"](x)
print(peak_bytes() - before)
"""


def main() -> None:
    """Measures the networks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=MODELS)
    write_csv(PAGE, [row(model) for model in parser.parse_args().models])


def row(model: str) -> dict[str, str | float]:
    """The figures of one network, in MiB."""
    source = resolve(model)
    network = trace(source.build(), torch.zeros(source.input_shape), model)
    weights = FLOAT_BYTES * network.parameters
    largest = sorted(FLOAT_BYTES * prod(layer.output_shape) for layer in network.layers)[-2:]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "network.so"
        write_network(model, library, tuning=Tuning())
        peak = peak_bytes(library, source.input_shape)
    figures = {"weights": weights, "activations": sum(largest), "peak": peak}
    shown = {f"{name}_mib": round(value / MIB, 1) for name, value in figures.items()}
    ratio = peak / (weights + sum(largest))
    print(f"{model:25}", shown, f"{ratio:.2f}", flush=True)
    return {"model": model, **shown, "ratio": round(ratio, 3)}


def peak_bytes(library: Path, shape: tuple[int, ...]) -> int:
    """By how much loading and running the library raises the peak memory of a process."""
    command = [sys.executable, "-c", CHILD, str(library), ",".join(map(str, shape))]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
