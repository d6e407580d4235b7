"""Compiles many networks and writes what came of each to docs/data/networks.csv; needs torchvision.

    python -m scripts.survey_networks [NAME ...]

Weights are drawn; batch norms take their statistics from random images first, so that signals survive a deep network,
and layers that start at zero are drawn too. With names, only their rows are renewed. Then run write_compile_docs.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from loopwright.errors import LoopwrightError
from loopwright.lowering.network import compile_network
from loopwright.measurement.network_agreement import require_agreement
from loopwright.models.seeding import seeded
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu

TABLE = Path(__file__).parent.parent / "docs" / "data" / "networks.csv"
FIELDS = ("network", "input", "left to TVM", "difference")
MODES = ("nearest", "bilinear", "bicubic")
IMAGE, SMALL = (1, 3, 224, 224), (1, 3, 16, 16)

TORCHVISION = (
    *("resnet18", "resnet34", "resnet50", "densenet121", "densenet161", "densenet169", "densenet201", "mobilenet_v2"),
    *("mobilenet_v3_large", "efficientnet_b0", "shufflenet_v2_x1_0", "squeezenet1_1", "regnet_y_400mf", "googlenet"),
    *("inception_v3", "convnext_tiny", "vit_b_16", "swin_t"),
)


class After(nn.Module):
    """A convolution, and a function of what it gives."""

    def __init__(self, function: Callable[[torch.Tensor], object]):
        super().__init__()
        self.first, self.function = nn.Conv2d(3, 16, 3, padding=1), function

    def forward(self, x: torch.Tensor) -> object:
        return self.function(self.first(x))


class Attention(nn.Module):
    """Patches, layer norm, self-attention and a residual addition."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 32, 4, stride=4), nn.LayerNorm(32)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        normed = self.norm(tokens)
        return tokens + self.attention(normed, normed, normed, need_weights=False)[0]


def _shuffled(x: torch.Tensor) -> torch.Tensor:
    return functional.channel_shuffle(x, 2)


PARTS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "transposed convolution": (lambda: nn.ConvTranspose2d(3, 8, 3, stride=2, output_padding=1), SMALL),
    "conv1d, batch norm": (lambda: nn.Sequential(nn.Conv1d(3, 8, 5), nn.BatchNorm1d(8)), (1, 3, 64)),
    "conv3d, max pool": (lambda: nn.Sequential(nn.Conv3d(3, 8, 3), nn.MaxPool3d(2)), (1, 3, 8, 8, 8)),
    "group norm, instance norm": (
        lambda: nn.Sequential(nn.Conv2d(3, 16, 3), nn.GroupNorm(4, 16), nn.InstanceNorm2d(16)), SMALL,
    ),
    "self-attention, layer norm": (Attention, (1, 3, 32, 32)),
    "upsampling: nearest, bilinear, bicubic": (
        lambda: After(lambda x: [functional.interpolate(x, scale_factor=2, mode=mode) for mode in MODES]), SMALL,
    ),
    "scaling by a fraction": (lambda: After(lambda x: functional.interpolate(x, scale_factor=0.6)), SMALL),
    "channel shuffle": (lambda: After(_shuffled), SMALL),
    "NHWC and back": (lambda: After(lambda x: (x.permute(0, 2, 3, 1) * 2).softmax(-1).permute(0, 3, 1, 2)), SMALL),
    "a dictionary of outputs": (lambda: After(lambda x: {"pixels": x, "means": x.mean((2, 3))}), SMALL),
    "float64 inside": (lambda: After(lambda x: x.double().cumsum(2).float()), SMALL),
    "integers: argmax, sort, top 5": (
        lambda: After(lambda x: (x.argmax(1), x.sort(1)[0], torch.topk(x.flatten(1), 5))), SMALL,
    ),
    "adaptive max pool": (lambda: After(lambda x: functional.adaptive_max_pool2d(x, (2, 7))), SMALL),
    "max pool with indices": (lambda: After(lambda x: functional.max_pool2d(x, 2, return_indices=True)), SMALL),
    "unfold": (lambda: After(lambda x: functional.unfold(x, 3)), SMALL),
    "GRU": (lambda: nn.Sequential(nn.Flatten(2), nn.GRU(256, 8, batch_first=True)), SMALL),
    "Fourier transform": (lambda: After(lambda x: torch.fft.rfft2(x).abs()), SMALL),
}  # fmt: skip


def settled(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """The module with batch norm statistics of random images, and nothing that is zero throughout."""
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    for norm in (found for found in module.modules() if isinstance(found, nn.modules.batchnorm._BatchNorm)):
        norm.momentum = None
    with torch.no_grad():
        module.train()(torch.randn(4, *shape[1:]))
    return module.eval()


def surveyed(name: str, build: Callable[[], nn.Module], shape: tuple[int, ...]) -> dict[str, str]:
    """One row: what was left to TVM, and the difference from PyTorch or why there is none."""
    with seeded(0):
        module = settled(build(), shape)
    row = {"network": name, "input": "x".join(map(str, shape)), "left to TVM": ""}
    try:
        network = trace(module, torch.zeros(shape), name)
        compiled = compile_network(network, module, cpu())
        left = Counter(note.partition(" ")[0] for note in compiled.notes)
        row["left to TVM"] = ", ".join(f"{operation} {count}" for operation, count in sorted(left.items()))
        return {**row, "difference": f"{require_agreement(network, module, compiled):.0e}"}
    except LoopwrightError as error:
        return {**row, "difference": f"refused: {str(error).partition(': ')[2]}"}


def networks() -> dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]:
    """All that are surveyed, by name."""
    from torchvision import models

    options = {name: {"init_weights": True} for name in ("googlenet", "inception_v3")}
    shapes = {"inception_v3": (1, 3, 299, 299)}
    found = {
        name: (lambda name=name: models.get_model(name, **options.get(name, {})), shapes.get(name, IMAGE))
        for name in TORCHVISION
    }
    return {**{f"torchvision {name}": entry for name, entry in found.items()}, **PARTS}


def main() -> None:
    """Surveys, and writes the table after every network."""
    known = networks()
    rows = {}
    if TABLE.exists():
        with TABLE.open(newline="", encoding="utf-8") as file:
            rows = {row["network"]: row for row in csv.DictReader(file)}
    for name in sys.argv[1:] or known:
        rows[name] = surveyed(name, *known[name])
        print(name, rows[name]["difference"], flush=True)
        with TABLE.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows[name] for name in known if name in rows)


if __name__ == "__main__":
    main()
