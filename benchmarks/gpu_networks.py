"""Networks on a GPU beside PyTorch under a CUDA graph; prints a table, and writes docs/data/gpu/networks.csv.

    python -m benchmarks.gpu_networks [--batch 1] [--rounds 21] [MODEL|FOLDER...]

Ours is compiled for the device with the schedules that the estimate puts first, or those of ``--schedules``, a CSV of
`benchmarks.gpu`. PyTorch runs the same weights in float32, with tf32 allowed, and in bfloat16 with the channels last.
A sample is the mean of 20 runs, by device events, all participants in turns.
"""

from __future__ import annotations

import argparse
import copy
import csv
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tvm
from benchmarks.gpu import TARGET, measured, replayed
from tvm import relax

from loopwright.baselines.task import Task, input_shape_of
from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.network import lower_network
from loopwright.lowering.schedules.cuda.schedule import CudaSchedule
from loopwright.operators import parse
from loopwright.report.numbers import write_csv

PAGE = Path(__file__).parent.parent / "docs" / "data" / "gpu" / "networks.csv"
MODELS = ("resnet34", "resnext29_2x64d", "densenet161")
RUNS, TOLERANCE = 20, 1e-3


def main() -> None:
    """Times the networks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=MODELS)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--schedules", type=Path)
    parser.add_argument("--csv", type=Path, default=PAGE)
    given = parser.parse_args()
    choose = chosen(given.schedules)
    rows: list[dict[str, Any]] = []
    for model in given.models:
        rows.append(row := timed(model, given.batch, given.rounds, choose))
        print(*(f"{name}={value}" for name, value in row.items()), flush=True)
        write_csv(given.csv, rows)


def chosen(schedules: Path | None) -> Callable[[OperatorForm, int], CudaSchedule | None]:
    """The schedules that were timed, by operator."""
    best: dict[str, CudaSchedule] = {}
    if schedules is not None:
        with schedules.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                key = operator_form(parse(row["operator"]).nest()).key
                best[key] = CudaSchedule.parse(row["schedule"])
    return lambda form, _images: best.get(form.key)


def timed(
    model: str, batch: int, rounds: int, choose: Callable[[OperatorForm, int], CudaSchedule | None]
) -> dict[str, Any]:
    """One network, ours and PyTorch's."""
    shape = (batch, *input_shape_of(model, None)[1:])
    task = Task(model, shape, "cuda", 1, Path())
    network, module = task.traced()
    images = task.images()
    machine = relax.VirtualMachine(lower_network(network, module, TARGET, choose).build().executable, tvm.cuda())
    given = tvm.runtime.tensor(images, tvm.cuda())
    x = torch.from_numpy(images).cuda()
    module = module.cuda().eval()
    with torch.no_grad():
        expected = copy.deepcopy(module).double()(x.double()).float().cpu().numpy()
        found = machine["main"](given)
        found = (found if isinstance(found, tvm.runtime.Tensor) else found[0]).numpy()
        error = float(abs(found - expected).max() / abs(expected).max())
        if not error < TOLERANCE:
            raise SystemExit(f"{model}: differs from float64 by {error:.1e} of the largest output")
        last = torch.channels_last
        narrow = copy.deepcopy(module).bfloat16().to(memory_format=last)
        peers = {
            "fp32": replayed(pytorch(module, x, tf32=False)),
            "tf32": replayed(pytorch(module, x, tf32=True)),
            "bf16": replayed(pytorch(narrow, x.bfloat16().to(memory_format=last), tf32=True)),
        }
        samples = measured({"ours": lambda: run_us(lambda: machine["main"](given)), **peers}, rounds)
    medians = {f"{name}_ms": round(median(own) / 1000, 4) for name, own in samples.items()}
    return {"model": model, "batch": batch, **medians, "error": f"{error:.1e}", "device": torch.cuda.get_device_name()}


def pytorch(module: torch.nn.Module, x: torch.Tensor, *, tf32: bool) -> Callable[[], object]:
    """A run of the module; cuDNN chooses its algorithms in the first one."""

    def call() -> object:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        return module(x)

    return call


def run_us(call: Callable[[], object]) -> float:
    """Microseconds of one of many runs one after the other."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(RUNS):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1000 / RUNS


if __name__ == "__main__":
    main()
