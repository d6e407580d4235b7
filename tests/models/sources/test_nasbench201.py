from __future__ import annotations

import pytest
import torch

from loopwright.errors import ArgumentError
from loopwright.lowering.transformed import transformed
from loopwright.models.resolve import resolve
from loopwright.models.sources.nasbench201 import Cell, cells, member
from loopwright.models.trace import trace
from tests.legality.networks import forms_of

ALL_3X3 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
MIXED = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|nor_conv_3x3~2|"

PUBLISHED = {
    ALL_3X3: (1_531_546, 220.11969),
    NONE: (73_306, 7.78305),
}
"""The benchmark's largest and smallest networks for CIFAR-10: parameters, and millions of multiply-accumulates, which
count the classifier's ten biases."""


@pytest.mark.parametrize(("cell", "parameters", "macs"), [(cell, *figures) for cell, figures in PUBLISHED.items()])
def test_sizes_are_the_published_ones(cell: str, parameters: int, macs: float):
    network = trace(member(cell).build(), torch.zeros(1, 3, 32, 32))
    assert network.parameters == parameters
    assert (network.macs + 10) / 1e6 == pytest.approx(macs, abs=5e-6)


@pytest.mark.parametrize("cell", [BEST, MIXED])
def test_sizes_add_up_over_the_edges(cell: str):
    """Convolutions and batch norms of 16, 32 and 64 channels, five times each, on top of the smallest network."""
    by_edge = {kernel: 5 * sum(c * c * kernel**2 + 2 * c for c in (16, 32, 64)) for kernel in (1, 3)}
    expected = 73_306 + cell.count("conv_3x3") * by_edge[3] + cell.count("conv_1x1") * by_edge[1]
    assert sum(parameter.numel() for parameter in member(cell).build().parameters()) == expected


def test_every_cell_is_written_and_read_alike():
    texts = [str(cell) for cell in cells()]
    assert len(set(texts)) == 15_625
    assert all(str(Cell.parse(text)) == text for text in texts[::100])
    assert {ALL_3X3, NONE, BEST, MIXED} <= set(texts)


@pytest.mark.parametrize(
    "text",
    ["", "resnet34", NONE[:-1], NONE.replace("none~2", "none~1"), NONE.replace("none", "conv_5x5"), f"{NONE}+|none~0|"],
)
def test_other_strings_are_refused(text: str):
    with pytest.raises(ArgumentError, match="is no cell of NAS-Bench-201; write it like"):
        Cell.parse(text)


def test_a_cell_computes_the_sum_of_its_edges():
    cell = member("|skip_connect~0|+|avg_pool_3x3~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|").build()
    x = torch.randn(2, 16, 4, 4)
    pooled = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(cell.cells[0](x), x + (pooled + x))


def test_nodes_without_edges_are_zero():
    module = member(NONE).build()
    assert torch.equal(module.cells[0](torch.randn(2, 16, 4, 4)), torch.zeros(2, 16, 4, 4))
    assert module(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("cell", [ALL_3X3, MIXED])
def test_all_convolutions_of_a_cell_are_nests_that_can_be_transformed(cell: str):
    source = resolve(f"nasbench201/{cell}")
    network = trace(source.build(), torch.zeros(source.input_shape), source.name)
    edges = [layer for layer in network.layers if ".edge_" in layer.name and "conv2d" in str(layer.operator)]
    assert len(edges) == 15 * cell.count("nor_conv")
    assert all(layer.transformable for layer in edges)
    assert all(network.operator(layer.name).nest().macs == layer.macs for layer in edges)


def test_a_transformed_cell_runs():
    network = trace(member(MIXED).build(), torch.zeros(1, 3, 32, 32))
    halved = transformed(network, forms_of(network, "group(co, ci, 2)"))
    assert halved(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
