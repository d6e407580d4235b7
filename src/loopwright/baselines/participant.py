"""A participant of a benchmark: one runtime, in one setting, that can run a PyTorch module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar

from loopwright.baselines.task import Task
from loopwright.errors import ArgumentError
from loopwright.measurement.timer import Call, Clock, wall_clock
from loopwright.registry import classes, unknown
from loopwright.targets.target import FLOAT32, Target

if TYPE_CHECKING:
    import numpy as np

OURS, REFERENCE = "loopwright", "eager"
"""The participants that every benchmark has: what the others are compared with, and whose outputs are right."""


@dataclass(frozen=True, eq=False)
class Ready:
    """A network that is ready to run: ``run`` does it once and returns the outputs in the runtime's own form;
    ``precision`` is what it computes in, ``clock`` how it is timed."""

    run: Call
    precision: str = FLOAT32
    clock: Clock = wall_clock


class Participant(ABC):
    """A runtime. It lives in a process of its own, so it may set whatever the runtime has for the whole process.

    ``name`` is what ``--peers`` takes, ``packages`` are the distributions that have to be installed, the runtime's own
    first. It runs ``on_processors``, ``on_gpus``, or on both. One that is not ``stock`` is Loopwright; one that is not
    ``same`` runs another network than the task's, of which the outputs can't be compared.
    """

    name: str
    packages: ClassVar[tuple[str, ...]]
    on_processors: ClassVar[bool] = True
    on_gpus: ClassVar[bool] = False
    needs_trials: ClassVar[bool] = False
    stock: ClassVar[bool] = True
    same: ClassVar[bool] = True

    def runs_on(self, hardware: Target) -> bool:
        """Whether it is for hardware of that kind."""
        return self.on_processors if hardware.gpu is None else self.on_gpus

    def missing(self) -> list[str]:
        """Those of `packages` that are not installed."""
        return [package for package in self.packages if not _installed(package)]

    def version(self, task: Task) -> str:  # noqa: ARG002 - some tell more than the package's version
        """The runtime's version, for the table."""
        return version(self.packages[0])

    def source(self, task: Task) -> Any:
        """What the runtime starts from; not counted as set-up."""
        return task.module()

    @abstractmethod
    def prepare(self, source: Any, task: Task) -> Ready:
        """Builds and tunes, as a user of the runtime would; what it raises becomes the reason in its row."""


def registered() -> dict[str, Participant]:
    """All participants by name."""
    found = classes(["loopwright.baselines.peers"], Participant)
    return {name: participant() for name, participant in found.items()}


def chosen(peers: Sequence[str] | None, trials: int, hardware: Target) -> list[Participant]:
    """The reference, then ``peers`` in that order, then ours, on ``hardware``; without ``peers`` all that need no
    trials, or have some.

    Raises `ArgumentError` for an unknown name, or for an autotuner without trials.
    """
    known = {name: own for name, own in registered().items() if own.runs_on(hardware)}
    others = [name for name in known if trials or not known[name].needs_trials] if peers is None else peers
    for name in others:
        if name not in known:
            raise unknown("peer", name, known)
        if known[name].needs_trials and not trials:
            raise ArgumentError(f"peer {name!r} tunes; say how many trials it has, such as --trials 500")
    return [known[name] for name in dict.fromkeys([REFERENCE, *others, OURS])]


def arrays(result: object) -> list[np.ndarray]:
    """A runtime's outputs as new arrays, in order: of tensors, arrays, and tuples, lists or mappings of them."""
    import numpy as np
    import torch

    if isinstance(result, Mapping):
        return arrays(list(result.values()))
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in arrays(part)]
    if isinstance(result, torch.Tensor):
        result = (result.float() if result.is_floating_point() else result).cpu()
    return [np.array(result.numpy() if hasattr(result, "numpy") else result)]


def _installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False
