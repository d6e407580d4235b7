"""3x3 operators on a GPU beside cuDNN, one image; prints a table, and writes docs/data/gpu/operators.csv.

    python -m benchmarks.gpu [--tried 24] [--rounds 21] [OPERATOR...]

Every variant of the schedule is built (on all cores), held against float64, and timed; the fastest is then timed in
turns with cuDNN in float32 and with tf32 allowed. A sample is the replay of a CUDA graph of 50 calls, by device events.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import tvm_ffi
from torch.nn import functional

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import Kernel, Schedule, schedules
from loopwright.lowering.layout import blocked_shape, from_blocked, to_blocked
from loopwright.measurement.build import Compiled
from loopwright.measurement.device import replay_clock
from loopwright.measurement.kernel_files import Builders, KernelFiles, Wanted
from loopwright.operators import parse
from loopwright.report.numbers import write_csv
from loopwright.targets.cuda import cuda

PAGE = Path(__file__).parent.parent / "docs" / "data" / "gpu" / "operators.csv"
SIZES = ((64, 32), (128, 16), (256, 8), (512, 4))
OPERATORS = tuple(f"conv2d(co={c}, ci={c}, oh={size}, ow={size}, kh=3, kw=3)" for c, size in SIZES)
CALLS, WARM_UP = 50, 3
TOLERANCE = 1e-4
TARGET = cuda()


@dataclass(frozen=True)
class Candidate:
    """A schedule's kernel, compiled."""

    schedule: Schedule
    kernel: Kernel
    compiled: Compiled


def main() -> None:
    """Times the operators that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", default=OPERATORS)
    parser.add_argument("--tried", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--csv", type=Path, default=PAGE)
    given = parser.parse_args()
    rows = []
    with TemporaryDirectory(prefix="loopwright-") as folder:
        builders = Builders(KernelFiles(Path(folder)))
        for operator in given.operators:
            rows.append(row := timed(operator, given.tried, given.rounds, builders))
            print(*(f"{name}={value}" for name, value in row.items()), flush=True)
            write_csv(given.csv, rows)
        builders.close()
    for peer in ("cudnn_fp32", "cudnn_tf32"):
        ratio = geometric_mean(row[f"{peer}_us"] / row["ours_us"] for row in rows)
        print(f"{ratio:.2f} times as fast as {peer}, geometric mean")


def timed(operator: str, tried: int, rounds: int, builders: Builders) -> dict[str, Any]:
    """One operator: the best of our variants beside cuDNN."""
    form = operator_form(parse(operator).nest())
    (channels, *size), (co, *_) = form.input_shape, form.output_shape
    random = np.random.default_rng(0)
    x = random.standard_normal((1, channels, *size), dtype=np.float32)
    weight = random.standard_normal((co, channels, 3, 3), dtype=np.float32)
    given, filters = torch.from_numpy(x).cuda(), torch.from_numpy(weight).cuda()
    expected = functional.conv2d(given.double(), filters.double(), padding=1).cpu().numpy()
    ours = [
        (candidate, replayed(call_of(candidate, form, x, weight, expected)))
        for candidate in built(form, tried, builders)
    ]
    best, graph = min(ours, key=lambda pair: median(pair[1]() for _ in range(WARM_UP + 4)))
    peers = {"cudnn_fp32": replayed_peer(given, filters, False), "cudnn_tf32": replayed_peer(given, filters, True)}
    samples = measured({"ours": graph, **peers}, rounds)
    medians = {f"{name}_us": round(median(own), 3) for name, own in samples.items()}
    device = torch.cuda.get_device_name()
    return {"operator": operator, **medians, "schedule": str(best.schedule), "tried": len(ours), "device": device}


def built(form: OperatorForm, tried: int, builders: Builders) -> list[Candidate]:
    """The first variants, built side by side."""
    wanted = [Wanted(form, 1, Epilogue(), TARGET, own) for own in schedules(form, TARGET)[:tried]]
    for _ in builders.build(wanted):
        pass
    loaded = [(own, builders.files.load(own)) for own in wanted]
    return [Candidate(own.schedule, own.kernel(), compiled) for own, compiled in loaded if compiled is not None]


def call_of(
    candidate: Candidate, form: OperatorForm, x: np.ndarray, weight: np.ndarray, expected: np.ndarray
) -> Callable[[], object]:
    """A call of the kernel on the device, once it has given what float64 gives."""
    block = TARGET.activation_block
    dense = [weight.reshape(-1)[own.weight_indices(weight.shape)] for own in form.contractions]
    out = torch.empty(blocked_shape(1, form.output_shape, block), device="cuda")
    arrays = (to_blocked(x, block), *candidate.kernel.pack(dense))
    tensors = [torch.from_numpy(np.ascontiguousarray(array)).cuda() for array in arrays]

    def call() -> object:
        return candidate.compiled(*tensors, out)

    with tvm_ffi.use_torch_stream():
        call()
    torch.cuda.synchronize()
    error = np.abs(from_blocked(out.cpu().numpy()) - expected).max() / np.abs(expected).max()
    if not error < TOLERANCE:
        raise SystemExit(f"{candidate.schedule}: differs from float64 by {error:.1e} of the largest output")
    return call


def replayed_peer(x: torch.Tensor, filters: torch.Tensor, tf32: bool) -> Callable[[], float]:
    """cuDNN's convolution, of those that it knows the fastest."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = tf32
    return replayed(lambda: functional.conv2d(x, filters, padding=1))


def replayed(call: Callable[[], object]) -> Callable[[], float]:
    """A function that replays a graph of many calls and gives the microseconds of one."""
    sample_ms = replay_clock(call, CALLS)
    return lambda: 1000 * sample_ms()


def measured(calls: dict[str, Callable[[], float]], rounds: int) -> dict[str, Sequence[float]]:
    """Samples of all, taken in turns."""
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(call())
    return dict(taken)


if __name__ == "__main__":
    main()
