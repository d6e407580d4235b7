"""Transformed networks as lines of text: which there are, in which order they are trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

from loopwright.lowering.transformed import transformed
from loopwright.models.network import Network
from loopwright.models.seeding import seeded
from loopwright.models.sources.cifar import MODELS
from loopwright.models.trace import trace
from loopwright.operators import parse
from loopwright.search.space import Choice
from loopwright.transformations import TransformationSequence

MODEL = "resnet34"


@dataclass(frozen=True)
class Spec:
    """One network. ``sequences`` maps the layers that change to the text of their sequence; shares are of the
    original's; ``families`` names the recipes used, ``structure`` is empty if the structural check passes and its
    reason otherwise; it is trained with the seeds 0, 1, ... below ``seeds``."""

    id: str
    kind: str
    label: str
    families: tuple[str, ...]
    macs_share: float
    parameters_share: float
    structure: str
    seeds: int
    sequences: Mapping[str, str]


def read_specs(path: Path) -> list[Spec]:
    """The networks of a file, in order."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [Spec(**{**row, "families": tuple(row["families"])}) for row in rows]


def write_specs(path: Path, specs: Iterable[Spec]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(spec)) + "\n" for spec in specs), encoding="utf-8")


def network(seed: int = 0) -> Network:
    """The original, initialised with ``seed``."""
    with seeded(seed):
        return trace(MODELS[MODEL].factory(), torch.zeros(MODELS[MODEL].input_shape), MODEL)


@cache
def choice(workload: str, text: str) -> Choice:
    """What a sequence makes of a workload; derived once."""
    return Choice.of(parse(workload).nest(), TransformationSequence.parse(text))


def module_of(spec: Spec, original: Network) -> nn.Module:
    """The transformed network with the weights that it inherits from ``original``."""
    workloads = {layer: text for text, layers in original.workloads.items() for layer in layers}
    forms = {layer: choice(workloads[layer], text).form for layer, text in spec.sequences.items()}
    return transformed(original, forms)
