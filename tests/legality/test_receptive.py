from __future__ import annotations

import numpy as np
import torch
from torch import nn

from loopwright.legality.receptive import Cells, receptive_fields
from loopwright.models.dataflow import Dataflow, dataflow
from loopwright.models.trace import trace


def flow(module: nn.Module, side: int) -> Dataflow:
    return dataflow(trace(module, torch.zeros(1, 1, side, side)))


def test_every_pixel_is_a_cell_up_to_32():
    cells = Cells.of((32, 20))
    assert (cells.side, cells.grid, cells.noun) == (1, (32, 20), "input pixels")
    assert [cells.members(field).tolist() for field in cells.own()[[0, 21]]] == [[[0, 0]], [[1, 1]]]


def test_larger_inputs_have_cells_of_several_pixels():
    cells = Cells.of((224, 224))
    assert (cells.side, cells.grid, cells.noun) == (7, (32, 32), "input cells of 7x7 pixels")
    assert cells.own().shape == (224 * 224, 16)
    assert cells.members(cells.own()[-1]).tolist() == [[31, 31]]


def test_fields_are_where_the_gradient_of_the_output_is():
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(2, 1, 3, padding=1, stride=2))
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    module[1] = nn.AvgPool2d(2)  # reads as a maximum does, with a gradient everywhere
    graph, cells = flow(module, 12), Cells.of((12, 12))
    (fields,) = receptive_fields(graph, cells, {}, graph.boundary()).values()
    jacobian = torch.autograd.functional.jacobian(module, torch.ones(1, 1, 12, 12)).reshape(9, 12, 12)
    for field, gradient in zip(fields, jacobian, strict=True):
        assert np.array_equal(cells.members(field), gradient.nonzero().numpy())
