"""What the proxies say of each network at initialisation."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import monotonic

from torch import nn

from loopwright.legality import proxies
from loopwright.legality.proxies import Proxy
from loopwright.legality.proxies.fisher import convolutions, fisher_potential
from loopwright.models.images import Minibatch, load_minibatch
from loopwright.models.sources.cifar import MODELS
from scripts.ground_truth.specs import MODEL, Spec, module_of, network

SEED = 0
"""Of the initialisation and of the minibatch."""
FIELDS = ("id", "proxy", "images", "score", "seconds", "layers")

Score = Callable[[nn.Module, Minibatch], tuple[float, Mapping[str, float]]]


def score(specs: Sequence[Spec], table: Path, data: Path | None, images: int, device: str) -> None:
    """Appends to the table what every proxy says of every network that it has not scored; one line each. For Fisher
    Potential the parts of every convolution stand beside their sum, as JSON."""
    original = network(SEED)
    minibatch = load_minibatch(data, images, SEED, MODELS[MODEL].input_shape)
    known = scorers(convolutions(original.module))
    done = _scored(table)
    for spec in specs:
        left = {name: scorer for name, scorer in known.items() if (spec.id, name, images) not in done}
        module = module_of(spec, original).to(device) if left else nn.Identity()
        for name, scorer in left.items():
            begin = monotonic()
            value, layers = scorer(module, minibatch)
            row = (spec.id, name, str(images), f"{value:.9g}", f"{monotonic() - begin:.2f}", _text(layers))
            _append(table, dict(zip(FIELDS, row, strict=True)))
            print(*row[:5], flush=True)


def scorers(layers: tuple[str, ...]) -> dict[str, Score]:
    """Fisher Potential at ``layers``, and every other registered proxy, by name."""
    others = {name: partial(_whole, proxy) for name, proxy in proxies.registered().items() if name != "fisher"}
    return {"fisher": partial(_fisher, layers), **others}


def _fisher(layers: tuple[str, ...], module: nn.Module, minibatch: Minibatch) -> tuple[float, Mapping[str, float]]:
    potential = fisher_potential(module, layers, minibatch)
    return potential.total, potential.layers


def _whole(proxy: Proxy, module: nn.Module, minibatch: Minibatch) -> tuple[float, Mapping[str, float]]:
    return proxy.score(module, minibatch), {}


def _text(layers: Mapping[str, float]) -> str:
    return json.dumps({name: float(f"{value:.5g}") for name, value in layers.items()}) if layers else ""


def _scored(table: Path) -> set[tuple[str, str, int]]:
    if not table.exists():
        return set()
    with table.open(newline="", encoding="utf-8") as file:
        return {(row["id"], row["proxy"], int(row["images"])) for row in csv.DictReader(file)}


def _append(table: Path, row: dict[str, str]) -> None:
    table.parent.mkdir(parents=True, exist_ok=True)
    new = not table.exists()
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def read_scores(table: Path, images: int) -> dict[str, dict[str, float]]:
    """Network -> proxy -> its score on so many images."""
    found: dict[str, dict[str, float]] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if int(row["images"]) == images:
                found.setdefault(row["id"], {})[row["proxy"]] = float(row["score"])
    return found
