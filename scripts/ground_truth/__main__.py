"""The ground truth of our own space: transformed ResNet-34s, trained on CIFAR-10.

``python -m scripts.ground_truth sample`` writes which networks there are, ``train --data FOLDER`` trains them on a GPU
and appends their accuracies on held-out training images, ``repeat`` asks for more seeds of those that are as good as
the original but for the noise, ``sample --seed 1 --more 100`` for more networks, ``score --data FOLDER`` computes what
the proxies say of each at initialisation. Several processes, ``--part 0/3`` and so on, share a GPU well: one builds a
network while another trains. ``train`` and ``score`` continue where they stopped. Tables lie in docs/data/legality.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TypeVar

import torch

from loopwright.legality.capacity import Table
from loopwright.models.images import CIFAR10
from loopwright.training.images import load
from loopwright.training.schedule import Schedule
from loopwright.training.short import Trainer, released
from scripts.ground_truth.calibrating import SHIPPED, calibration_table
from scripts.ground_truth.crossvalidating import crossvalidate
from scripts.ground_truth.results import Row, append, mean_accuracies, read_rows, write_rows
from scripts.ground_truth.sampling import Sampler, extended
from scripts.ground_truth.scoring import score
from scripts.ground_truth.specs import Spec, module_of, network, read_specs, write_specs

FOLDER = Path(__file__).parents[2] / "docs" / "data" / "legality"
SPECS, ACCURACIES, SCORES = (FOLDER / name for name in ("networks.jsonl", "accuracies.csv", "scores.csv"))

Job = tuple[Spec, int]
T = TypeVar("T")


def sample(options: argparse.Namespace) -> None:
    """Writes the networks; with --more, adds those of another seed to the file's."""
    specs = Sampler(network(), options.seed).specs()
    if options.more:
        specs = extended(read_specs(options.networks), specs, options.more)
    write_specs(options.networks, specs)
    print(f"{len(specs)} networks, {sum(spec.seeds for spec in specs)} trainings: {options.networks}")


def repeat(options: argparse.Namespace) -> None:
    """Asks for three seeds of the networks whose accuracy is so near the original's that the noise of one decides."""
    specs, accuracies = read_specs(options.networks), mean_accuracies(read_rows(options.results))
    least = accuracies[specs[0].id] - options.within
    near = {name for name, accuracy in accuracies.items() if accuracy >= least}
    write_specs(options.networks, [replace(spec, seeds=3) if spec.id in near else spec for spec in specs])
    print(f"{len(near)} networks of at least {least:.2f} %: {options.networks}")


def train(options: argparse.Namespace) -> None:
    """Trains this part's networks until the time is up."""
    begin, device = monotonic(), torch.device(options.device)
    done = {(row.id, row.seed) for row in read_rows(options.results)}
    jobs = [job for job in jobs_of(read_specs(options.networks), options.part) if (job[0].id, job[1]) not in done]
    schedule = Schedule(options.epochs, options.batch, options.peak)
    trainer = Trainer(
        *load(options.data, device, most=options.images, normalisation=CIFAR10),
        schedule,
        options.most_seconds,
        not options.eager,
    )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{len(jobs)} trainings left, data ready after {monotonic() - begin:.1f} s", flush=True)
    for spec, seed in jobs[: options.most]:
        if monotonic() - begin > options.stop_after:
            break
        outcome = trainer.train(module_of(spec, network(seed)), seed)
        append(options.results, Row.of(spec.id, seed, schedule.epochs, outcome, name))
        released()
        print(f"{spec.id} {spec.kind} {spec.label[:60]}, seed {seed}: {outcome}", flush=True)


def run_score(options: argparse.Namespace) -> None:
    """Scores this part's networks."""
    specs = part_of(read_specs(options.networks), options.part)
    score(specs, options.scores, options.data, options.minibatch, options.device)


def jobs_of(specs: Sequence[Spec], part: str) -> list[Job]:
    """The trainings of part ``k/n``."""
    return part_of([(spec, seed) for spec in specs for seed in range(spec.seeds)], part)


def part_of(items: Sequence[T], part: str) -> list[T]:
    """Part ``k/n``: every n-th item from the k-th on, counted from 0."""
    first, step = map(int, part.split("/"))
    return list(items[first::step])


def merge(options: argparse.Namespace) -> None:
    """Joins the tables of several parts into one."""
    rows = {(row.id, row.seed): row for path in [options.results, *options.tables] for row in read_rows(path)}
    write_rows(options.results, rows.values())
    print(f"{len(rows)} trainings of {len({key[0] for key in rows})} networks: {options.results}")


def export(options: argparse.Namespace) -> None:
    """Writes the table that the calibrated check learns from: networks that pass the structural check, were trained and
    scored."""
    table = calibration_table(
        read_specs(options.networks), read_rows(options.results), options.scores, options.minibatch
    )
    table.write(options.to)
    print(f"{len(table.networks)} networks: {options.to}")


def cross_validate(options: argparse.Namespace) -> None:
    """Writes how often each check is right."""
    table = Table.read(SHIPPED)
    crossvalidate(table, options.scores, options.minibatch, options.to)
    print(options.to.read_text(encoding="utf-8"))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.ground_truth", description=__doc__)
    parser.add_argument("--networks", type=Path, default=SPECS, help="the table of networks")
    parser.add_argument("--results", type=Path, default=ACCURACIES, help="the table of accuracies")
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("sample", help=sample.__doc__)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--more", type=int, help="networks to add at most")
    command.set_defaults(run=sample)

    command = commands.add_parser("repeat", help=repeat.__doc__)
    command.add_argument("--within", type=float, default=2.5, help="points of accuracy")
    command.set_defaults(run=repeat)

    command = commands.add_parser("train", help=train.__doc__)
    command.add_argument("--data", type=Path, required=True, help="folder of image Parquet files")
    command.add_argument("--device", default="cuda")
    command.add_argument("--part", default="0/1", help="k/n: every n-th training from the k-th on")
    command.add_argument("--epochs", type=int, default=Schedule.epochs)
    command.add_argument("--batch", type=int, default=Schedule.batch)
    command.add_argument("--peak", type=float, default=Schedule.peak, help="the highest learning rate")
    command.add_argument(
        "--most-seconds", type=float, default=30.0, help="of one training; slower networks are skipped"
    )
    command.add_argument("--stop-after", type=float, default=float("inf"), help="seconds after which none is begun")
    command.add_argument("--most", type=int, help="trainings at most")
    command.add_argument("--images", type=int, help="images at most, those held out included")
    command.add_argument("--eager", action="store_true", help="without CUDA graphs")
    command.set_defaults(run=train)

    command = commands.add_parser("merge", help=merge.__doc__)
    command.add_argument("tables", type=Path, nargs="+")
    command.set_defaults(run=merge)

    command = commands.add_parser("export", help=export.__doc__)
    command.add_argument("--scores", type=Path, default=SCORES, help="the table of scores")
    command.add_argument("--minibatch", type=int, default=32, help="images of the scores that are taken")
    command.add_argument("--to", type=Path, default=SHIPPED, help="the file that the package ships")
    command.set_defaults(run=export)

    command = commands.add_parser("crossvalidate", help=cross_validate.__doc__)
    command.add_argument("--scores", type=Path, default=SCORES, help="the table of scores")
    command.add_argument("--minibatch", type=int, default=128, help="images of the scores that the paper's rule takes")
    command.add_argument("--to", type=Path, default=FOLDER / "crossvalidation.csv", help="the table to write")
    command.set_defaults(run=cross_validate)

    command = commands.add_parser("score", help=run_score.__doc__)
    command.add_argument("--data", type=Path, help="folder of image Parquet files; default: the packaged sample")
    command.add_argument("--minibatch", type=int, default=128, help="images")
    command.add_argument("--scores", type=Path, default=SCORES, help="the table of scores")
    command.add_argument("--device", default="cpu")
    command.add_argument("--part", default="0/1", help="k/n: every n-th network from the k-th on")
    command.set_defaults(run=run_score)
    return parser


if __name__ == "__main__":
    arguments = parser().parse_args()
    arguments.run(arguments)
