"""3x3 operators on a GPU, beside cuDNN; prints a table, and writes two files: the best of ours beside what cuDNN has,
and all schedules that were tried.

    python -m benchmarks.gpu [--images 1] [--precision float32] [--tried 24] [--csv FILE] [--all FILE] [OPERATOR...]

All kernels are built first, on all cores, then each is held against float64 and timed in a process of its own; the
fastest is timed again in turns with the fastest that cuDNN has in each precision. A sample is the replay of a CUDA
graph of 50 calls, by device events.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from benchmarks import gpu_bench
from benchmarks.gpu_bench import PEERS, TARGET

from loopwright.ir.contraction import operator_form
from loopwright.isolation import Bounds, FaultError, Isolated
from loopwright.lowering.axes import as_image
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import schedules
from loopwright.lowering.schedules.backend import Schedule
from loopwright.lowering.schedules.cuda.tensor import variants
from loopwright.lowering.schedules.cuda.tensor.schedule import TensorSchedule
from loopwright.measurement import tolerances
from loopwright.measurement.kernel_files import Builders, KernelFiles, Wanted
from loopwright.operators import parse
from loopwright.report.numbers import write_csv
from loopwright.targets.target import FLOAT32

SIZES = ((64, 32), (128, 16), (256, 8), (512, 4))
OPERATORS = tuple(f"conv2d(co={c}, ci={c}, oh={size}, ow={size}, kh=3, kw=3)" for c, size in SIZES)
FLOAT32_BESIDE = 2
SECONDS_OF_A_KERNEL = 60.0


@dataclass(frozen=True)
class Timed:
    """A schedule's time, or why it has none."""

    operator: str
    schedule: Schedule
    path: Path
    us: float | None
    error: float | None
    problem: str

    def row(self, flops: float) -> dict[str, Any]:
        """For the table of all schedules."""
        us = None if self.us is None else round(self.us, 2)
        tflops = None if self.us is None else round(flops / self.us / 1e6, 1)
        return {
            "operator": self.operator,
            "schedule": str(self.schedule),
            "us": us,
            "tflops": tflops,
            "error": self.error,
            "problem": self.problem,
        }


def main() -> None:
    """Times the operators that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", default=OPERATORS)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--precision", choices=tolerances.KERNEL, default=FLOAT32)
    parser.add_argument("--tried", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=130.0, help="after which no other schedule is timed")
    parser.add_argument("--schedules", type=Path, help="a file with a schedule a line, to be tried for all operators")
    parser.add_argument("--csv", type=Path, default=Path("gpu.csv"))
    parser.add_argument("--all", type=Path, default=Path("gpu-schedules.csv"))
    given = parser.parse_args()
    Session(given, monotonic() + given.seconds).run()


class Session:
    """One run of the benchmark, up to a point of time."""

    def __init__(self, given: argparse.Namespace, end: float):
        self.given, self.end = given, end
        self.all_rows: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.process = Isolated(Bounds(SECONDS_OF_A_KERNEL))

    def run(self) -> None:
        """Builds everything, then times one operator after the other."""
        with TemporaryDirectory(prefix="loopwright-") as folder:
            files = KernelFiles(Path(folder))
            wanted = {operator: self.wanted(operator) for operator in self.given.operators}
            begun, builders = monotonic(), Builders(files)
            for _ in builders.build([own for kernels in wanted.values() for own in kernels]):
                pass
            builders.close()
            print(f"built in {monotonic() - begun:.0f} s", flush=True)
            for position, (operator, kernels) in enumerate(wanted.items()):
                left = len(wanted) - position
                self.operator(operator, kernels, files, monotonic() + (self.end - monotonic()) / left)
        self.process.close()
        self.summary()

    def summary(self) -> None:
        """How we do against each peer over all operators."""
        for name in ("cudnn_fp32", "cudnn_tf32", "cudnn_bf16"):
            if ratios := [row[f"times_{name}"] for row in self.rows if f"times_{name}" in row]:
                print(f"{geometric_mean(ratios):.2f} times as fast as {name}, geometric mean")

    def wanted(self, operator: str) -> list[Wanted]:
        """The kernels to be built, the most promising first."""
        form, images = operator_form(parse(operator).nest()), self.given.images
        float32: list[Schedule] = schedules(form, TARGET, n=images)
        own: list[Schedule] = list(float32[: self.given.tried])
        if self.given.precision != FLOAT32:
            chosen: list[Schedule] = list(variants.variants(as_image(form).form, TARGET, images, self.given.precision))
            if self.given.schedules:
                chosen = [TensorSchedule.parse(line) for line in self.given.schedules.read_text().splitlines() if line]
            own = [*chosen[: self.given.tried], *float32[:FLOAT32_BESIDE]]
        return [Wanted(form, images, Epilogue(), TARGET, schedule) for schedule in own]

    def operator(self, operator: str, kernels: list[Wanted], files: KernelFiles, end: float) -> None:
        """All schedules of one, then the best beside its peers."""
        flops = 2.0 * self.given.images * kernels[0].form.macs
        found = []
        for own in kernels:
            if monotonic() > end:
                break
            found.append(one := self.timed(operator, own, files.path(own)))
            self.all_rows.append(one.row(flops))
            write_csv(self.given.all, self.all_rows)
        right = [one for one in found if one.us is not None and not one.problem]
        peers = self.peers(operator)
        if right:
            best = min(right, key=lambda one: one.us or 0.0)
            self.rows.append(self.compared(best, peers, flops))
            print(*(f"{name}={value}" for name, value in self.rows[-1].items()), flush=True)
            write_csv(self.given.csv, self.rows)
        for one in sorted(right, key=lambda one: one.us or 0.0)[:5]:
            print(f"    {one.us:.1f} us  {one.schedule}", flush=True)
        for one in found:
            if one.problem:
                print(f"    {one.schedule}: {one.problem}", flush=True)

    def timed(self, operator: str, wanted: Wanted, path: Path) -> Timed:
        """One schedule; a process that it takes with it is replaced."""
        if not path.exists():
            return Timed(operator, wanted.schedule, path, None, None, "not built")
        try:
            us, error = self.process.call(gpu_bench.time_ours, operator, self.given.images, wanted.schedule, path)
        except (FaultError, RuntimeError, ValueError) as failure:
            self.process.close()
            return Timed(operator, wanted.schedule, path, None, None, str(failure).strip().splitlines()[0])
        precision = self.given.precision if isinstance(wanted.schedule, TensorSchedule) else FLOAT32
        problem = "" if error < tolerances.KERNEL[precision] else f"differs from float64 by {error:.1e}"
        return Timed(operator, wanted.schedule, path, us, error, problem)

    def peers(self, operator: str) -> list[str]:
        """The faster layout of cuDNN in each precision."""
        times = {}
        for name in PEERS:
            try:
                times[name] = self.process.call(gpu_bench.time_peer, operator, self.given.images, name)
            except (FaultError, RuntimeError) as failure:
                self.process.close()
                print(f"    {name}: {str(failure).strip().splitlines()[0]}", flush=True)
        print("   ", " ".join(f"{name}={us:.1f}" for name, us in times.items()), flush=True)
        kinds = ("fp32", "tf32", "bf16")
        layouts = [[name for name in times if f"_{kind}" in name] for kind in kinds]
        return [min(names, key=times.__getitem__) for names in layouts if names]

    def compared(self, best: Timed, peers: list[str], flops: float) -> dict[str, Any]:
        """A row of the table: microseconds, TFLOP/s, and how many times faster than each peer ours is."""
        arguments = (best.operator, self.given.images, best.schedule, best.path, peers, self.given.rounds)
        names = ["ours", *(name.removesuffix("_last") for name in peers)]
        times = dict(zip(names, self.process.call(gpu_bench.in_turns, *arguments), strict=True))
        row: dict[str, Any] = {"operator": best.operator, "images": self.given.images}
        row |= {f"{name}_us": round(us, 2) for name, us in times.items()}
        row |= {f"{name}_tflops": round(flops / us / 1e6, 1) for name, us in times.items()}
        row |= {f"times_{name}": round(us / times["ours"], 3) for name, us in times.items() if name != "ours"}
        device = self.process.call(gpu_bench.device_name)
        layouts = " ".join(peers)
        return row | {"error": best.error, "schedule": str(best.schedule), "peers": layouts, "device": device}


if __name__ == "__main__":
    main()
