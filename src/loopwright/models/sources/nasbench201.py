"""The cells of NAS-Bench-201 as networks: Dong and Yang, "NAS-Bench-201" (ICLR 2020), Figure 1 and section 2.1.

A cell has four nodes and an edge from each node to every later one; each edge computes one of five operations, so there
are 5^6 = 15,625. A node is the sum of its edges, node 0 the cell's input and node 3 its output. An architecture string
has the edges into nodes 1, 2 and 3, separated by ``+``: ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.

The network around a cell: 3x3 stem with 16 channels, three stages of five cells with 16, 32 and 64 channels, residual
blocks with stride 2 between them, batch norm, ReLU, global average pooling, classifier.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from loopwright.errors import ArgumentError
from loopwright.models.sources import ModelSource

FAMILY = "nasbench201"
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 4
WIDTHS, CELLS = (16, 32, 64), 5
EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"

MODELS: dict[str, ModelSource] = {}
"""None is listed: they are as many as there are strings, and `member` makes each."""


@dataclass(frozen=True)
class Cell:
    """``edges[i - 1][j]`` is the operation on the edge from node j to node i."""

    edges: tuple[tuple[str, ...], ...]

    @staticmethod
    def parse(text: str) -> Cell:
        """The cell of an architecture string; `ArgumentError` if it is none."""
        nodes = text.split("+")
        edges = tuple(tuple(re.findall(r"(\w+)~\d", node)) for node in nodes)
        cell = Cell(edges)
        known = all(operation in OPERATIONS for node in edges for operation in node)
        if not known or [len(node) for node in edges] != list(range(1, NODES)) or str(cell) != text:
            raise ArgumentError(
                f"{text!r} is no cell of NAS-Bench-201; write it like {EXAMPLE} with operations of "
                f"{', '.join(OPERATIONS)}"
            )
        return cell

    def __str__(self) -> str:
        nodes = ("".join(f"{operation}~{j}|" for j, operation in enumerate(node)) for node in self.edges)
        return "+".join(f"|{node}" for node in nodes)


def cells() -> Iterator[Cell]:
    """All 15,625."""
    for operations in itertools.product(OPERATIONS, repeat=NODES * (NODES - 1) // 2):
        edge = iter(operations)
        yield Cell(tuple(tuple(itertools.islice(edge, node)) for node in range(1, NODES)))


def member(text: str) -> ModelSource:
    """The network of an architecture string, for CIFAR-10; `ArgumentError` if the string is none."""
    cell = Cell.parse(text)
    return ModelSource(f"{FAMILY}/{text}", partial(CellNetwork, cell), (1, 3, 32, 32), "a cell of NAS-Bench-201")


class CellNetwork(nn.Module):
    """The benchmark's network of one cell: (N, 3, H, W) -> (N, classes)."""

    def __init__(self, cell: Cell, classes: int = 10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]))
        parts: list[nn.Module] = []
        for before, width in zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False):
            parts += [] if before == width else [ResidualBlock(before, width)]
            parts += [CellModule(cell, width) for _ in range(CELLS)]
        self.cells = nn.Sequential(*parts)
        self.norm = nn.BatchNorm2d(WIDTHS[-1])
        self.linear = nn.Linear(WIDTHS[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        features = functional.relu(self.norm(self.cells(self.stem(x))))
        return self.linear(torch.flatten(functional.adaptive_avg_pool2d(features, 1), 1))


class CellModule(nn.Module):
    """A cell: (N, channels, H, W) to the same. Edges that compute nothing are left out."""

    def __init__(self, cell: Cell, channels: int):
        super().__init__()
        self.cell = cell
        for i, node in enumerate(cell.edges, 1):
            for j, operation in enumerate(node):
                if operation != "none":
                    self.add_module(_edge(i, j), MAKERS[operation](channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The last node."""
        nodes = [x]
        for i, node in enumerate(self.cell.edges, 1):
            terms = [
                self.get_submodule(_edge(i, j))(nodes[j]) for j, operation in enumerate(node) if operation != "none"
            ]
            total = terms[0] if terms else torch.zeros_like(x)
            for term in terms[1:]:
                total = total + term
            nodes.append(total)
        return nodes[-1]


class ReluConvBn(nn.Sequential):
    """ReLU, convolution without bias, batch norm."""

    def __init__(self, ci: int, co: int, kernel_size: int, stride: int = 1):
        convolution = nn.Conv2d(ci, co, kernel_size, stride, padding=kernel_size // 2, bias=False)
        super().__init__(nn.ReLU(), convolution, nn.BatchNorm2d(co))


class ResidualBlock(nn.Module):
    """Halves the image: (N, ci, H, W) -> (N, co, H/2, W/2); the shortcut pools and projects."""

    def __init__(self, ci: int, co: int):
        super().__init__()
        self.conv_a = ReluConvBn(ci, co, 3, stride=2)
        self.conv_b = ReluConvBn(co, co, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(ci, co, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both convolutions and the shortcut."""
        return self.shortcut(x) + self.conv_b(self.conv_a(x))


MAKERS: dict[str, Callable[[int], nn.Module]] = {
    "skip_connect": lambda _: nn.Identity(),
    "nor_conv_1x1": lambda channels: ReluConvBn(channels, channels, 1),
    "nor_conv_3x3": lambda channels: ReluConvBn(channels, channels, 3),
    "avg_pool_3x3": lambda _: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
}


def _edge(i: int, j: int) -> str:
    return f"edge_{j}_{i}"
