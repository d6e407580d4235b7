"""Figure 4 of the paper on a processor: the speed-up of chosen networks, and their accuracy after a whole training."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING

from loopwright.baselines.beside import Beside
from loopwright.baselines.networks import NETWORK_PROTOCOL, benchmark_network
from loopwright.baselines.participant import OURS, chosen, registered
from loopwright.baselines.task import Task, runnable
from loopwright.errors import ArgumentError
from loopwright.report import benchmark as benchmark_report
from loopwright.report.numbers import Cell, Rows, write_csv
from loopwright.reproduction.fig4_training import SCRATCH, Recipe, Training, run_training, training_name
from loopwright.reproduction.places import devices, on_places
from loopwright.search.deliver import NetworkSpec, built, read_spec
from loopwright.targets.target import FLOAT32

if TYPE_CHECKING:
    from loopwright.search.progress import Progress

PAPER = {"resnet34": 3.0, "resnext29_2x64d": 1.3, "densenet161": 3.0}
"""The speed-ups of the paper's Figure 4 on its processor, over TVM."""
ORIGINAL_SEED = 0
TRAININGS, NUMBERS, LATENCIES = "trainings.csv", "fig4.csv", "latencies"


@dataclass(frozen=True)
class Request:
    """The chosen networks in ``folders`` and their originals. They are trained on the images in ``data`` on ``device``:
    from scratch by the ``recipe``, as often as ``seeds`` says for the model (for "" of all others; else once), and
    every chosen one by the recipe ``inherited``, if there is one, from its original's weights; ``distilled`` if the
    original teaches it as well. Latencies are medians of so many ``rounds``."""

    folders: tuple[Path, ...]
    out: Path
    data: Path | None = None
    device: str = "cpu"
    recipe: Recipe = field(default_factory=Recipe)
    seeds: Mapping[str, int] = field(default_factory=dict)
    inherited: Recipe | None = None
    distilled: bool = False
    store: str | None = None
    rounds: int = 15


@dataclass(frozen=True)
class Entry:
    """A network of the table, called ``label``: an original as its model, a chosen one as its ``folder``."""

    label: str
    spec: NetworkSpec
    folder: Path | None = None

    @property
    def model(self) -> str:
        return self.spec.model


@dataclass(frozen=True)
class Trained:
    """A line of ``trainings.csv``. ``start`` is ``scratch`` or the network whose weights it began with, ``teacher`` the
    network that taught it, if any."""

    network: str
    model: str
    start: str
    teacher: str
    seed: int
    epochs: int
    batch: int
    cutout: int
    accuracy: float
    evaluated_on: str
    train_loss: float
    epoch_s: float
    device: str
    torch: str

    @property
    def name(self) -> str:
        return training_name(self.network, self.start, self.seed)

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.epochs, self.batch, self.cutout)


def entries(folders: Sequence[Path]) -> list[Entry]:
    """Each original followed by the networks chosen for it.

    Raises `ArgumentError` for a folder without a network, of a module that has no name, or named as another one.
    """
    originals: dict[str, Entry] = {}
    made: dict[str, list[Entry]] = {}
    for folder in folders:
        spec = read_spec(folder)
        if not spec.model:
            raise ArgumentError(f"the network in {folder} was made from a module in Python; give one with a name")
        label = spec.model.rpartition("/")[2]
        originals.setdefault(spec.model, Entry(label, replace(spec, layers={})))
        made.setdefault(spec.model, []).append(Entry(folder.resolve().name, spec, folder))
    found = [entry for model, original in originals.items() for entry in (original, *made[model])]
    labels = [entry.label for entry in found]
    for label in labels:
        if labels.count(label) > 1:
            raise ArgumentError(f"two networks are called {label!r}; rename one of the folders")
    return found


def train_all(request: Request, progress: Progress) -> None:
    """Trains what ``trainings.csv`` does not have yet, on every GPU of the device; each is noted as soon as it is done.

    Raises what `loopwright.train` raises. A training that was ended goes on.
    """
    if request.data is None:
        raise ArgumentError("trainings need images; give --data, or --only time")
    places, table = devices(request.device), Table(request.out)
    first, then = trainings(request)
    for own in (*first, *then):
        table.require_same(own)
    waiting = [own for own in (*first, *then) if own.name not in table.rows]
    progress.stage("Train", len(waiting))
    begun = {own: [other for other in then if other in waiting and other.follows(own)] for own in first}
    ready = [own for own in first if own in waiting]
    ready += [other for own in first if own not in waiting for other in begun[own]]
    work = partial(run_training, request.out, request.data)
    for own, outcome in on_places(work, ready, places, lambda done: begun.get(done, [])):
        row = Trained(
            own.label, own.spec.model, own.start, own.teacher, own.seed, **asdict(own.recipe), **asdict(outcome)
        )
        table.add(row)
        reached = f"{row.accuracy:.2f} % of {row.evaluated_on}"
        progress.note(f"{own.name}: {reached} after {row.epochs} epochs of {row.epoch_s:.2f} s")
        progress.advance()


def trainings(request: Request) -> tuple[list[Training], list[Training]]:
    """Those from scratch, each seed in the order of the folders, and those that begin with what these have trained."""
    found = entries(request.folders)
    seeds = [
        (seed, entry) for entry in found for seed in range(request.seeds.get(entry.model, request.seeds.get("", 1)))
    ]
    first = [
        Training(entry.label, entry.spec, request.recipe, seed) for seed, entry in sorted(seeds, key=lambda own: own[0])
    ]
    then = [
        Training(entry.label, entry.spec, request.inherited, ORIGINAL_SEED, original.label, request.distilled)
        for original, *others in _families(found)
        for entry in others
        if request.inherited
    ]
    return first, then


class Table:
    """``trainings.csv`` in the folder ``out``."""

    def __init__(self, out: Path):
        self._path = out / TRAININGS
        self.rows: dict[str, Trained] = {row.name: row for row in self._read()}

    def require_same(self, training: Training) -> None:
        """Raises `ArgumentError` where the table has this training by another recipe or teacher."""
        row = self.rows.get(training.name)
        if row is not None and (row.recipe, row.teacher) != (training.recipe, training.teacher):
            had, wanted = (f"{own.recipe}, teacher {own.teacher or 'none'}" for own in (row, training))
            raise ArgumentError(f"{self._path} has {training.name} by {had}, not by {wanted}; give another --out")

    def add(self, row: Trained) -> None:
        """Writes the table with one row more."""
        self.rows[row.name] = row
        write_csv(self._path, [asdict(own) for own in self.rows.values()])

    def _read(self) -> Iterator[Trained]:
        kinds: dict[str, Callable[[str], int | float]] = {"int": int, "float": float}
        parsers = {own.name: kinds.get(str(own.type), str) for own in fields(Trained)}
        for row in _rows(self._path):
            yield Trained(**{name: parse(row[name]) for name, parse in parsers.items()})  # type: ignore[arg-type]


def time_all(request: Request, progress: Progress) -> None:
    """Times every original and what was chosen for it beside the stock runtimes, a run for each original that has no
    file yet."""
    for original, *others in _families(entries(request.folders)):
        path = request.out / LATENCIES / f"{original.label}.csv"
        if path.exists():
            continue
        hardware = runnable("cpu", None)
        with tempfile.TemporaryDirectory(prefix="loopwright-") as folder:
            shape = original.spec.input_shape
            task = Task(original.model, shape, "cpu", hardware.threads, Path(folder), request.store)
            beside = [Beside(str(entry.folder), shape) for entry in others]
            protocol = replace(NETWORK_PROTOCOL, rounds=request.rounds)
            found = benchmark_network(task, [*chosen(None, 0, hardware), *beside], progress, protocol)
        names = {str(entry.folder): entry.label for entry in others}
        rows = [
            {**row, "participant": names.get(str(row["participant"]), row["participant"])}
            for row in benchmark_report.rows(found)
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_csv(path, rows)


def summarise(request: Request) -> Rows:
    """One row a network, of what was trained and timed so far; written to ``fig4.csv``."""
    trained = list(Table(request.out).rows.values())
    rows: list[Mapping[str, Cell]] = []
    for family in _families(entries(request.folders)):
        latencies = Latencies.read(request.out / LATENCIES / f"{family[0].label}.csv")
        rows += [_row(entry, family[0], latencies, trained) for entry in family]
    write_csv(request.out / NUMBERS, rows)
    return rows


@dataclass(frozen=True)
class Latencies:
    """Medians in milliseconds by participant, and the participants that are stock runtimes in float32."""

    medians: Mapping[str, float]
    stock: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Latencies:
        """Empty where there is no such file."""
        rows = [row for row in _rows(path) if row["latency_ms"] and not row["reason"]]
        samples: dict[str, list[float]] = {}
        for row in rows:
            samples.setdefault(row["participant"], []).append(float(row["latency_ms"]))
        known = {name for name, own in registered().items() if own.stock}
        stock = {row["participant"] for row in rows if row["precision"] == FLOAT32} & known
        return cls({name: median(own) for name, own in samples.items()}, tuple(sorted(stock)))

    @property
    def best_stock(self) -> tuple[str, float] | None:
        """The fastest stock runtime and its latency."""
        return min(((name, self.medians[name]) for name in self.stock), key=lambda pair: pair[1], default=None)


def _row(entry: Entry, original: Entry, latencies: Latencies, trained: Sequence[Trained]) -> Mapping[str, Cell]:
    _, module = built(entry.spec)
    own, before, best = latencies.medians.get(_timed(entry)), latencies.medians.get(OURS), latencies.best_stock
    scratch = [row.accuracy for row in trained if (row.network, row.start) == (entry.label, SCRATCH)]
    first = [row.accuracy for row in trained if (row.network, row.start) == (original.label, SCRATCH)]
    begun = next((row for row in trained if (row.network, row.start) == (entry.label, original.label)), None)
    return {
        "model": entry.model,
        "network": entry.label,
        "latency_ms": own,
        "speedup": before / own if before and own else None,
        "paper": PAPER.get(entry.model) if entry.folder else None,
        "stock": best[0] if best else None,
        "stock_ms": best[1] if best else None,
        "speedup_over_stock": best[1] / own if best and own else None,
        "macs": _macs(entry.spec),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "trainings": len(scratch),
        "accuracy": mean(scratch) if scratch else None,
        "accuracy_sd": stdev(scratch) if len(scratch) > 1 else None,
        "loss": mean(first) - mean(scratch) if first and scratch else None,
        "inherited_epochs": begun.epochs if begun else None,
        "inherited_accuracy": begun.accuracy if begun else None,
    }


def _macs(spec: NetworkSpec) -> int:
    network, _ = built(spec)
    return network.macs - sum(network.layer(name).macs - layer.form.macs for name, layer in spec.layers.items())


def _timed(entry: Entry) -> str:
    """The participant that the entry is."""
    return entry.label if entry.folder else OURS


def _families(found: Sequence[Entry]) -> list[list[Entry]]:
    """Each original with the networks that were chosen for it."""
    return [[entry for entry in found if entry.model == model] for model in dict.fromkeys(e.model for e in found)]


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
