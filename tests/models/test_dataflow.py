"""The dataflow of a traced network, and how its operations read positions."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.models.dataflow import Dataflow, dataflow
from loopwright.models.sources import registered
from loopwright.models.trace import trace
from tests.models.functions import Calls


def flow(function, shape=(1, 4, 8, 8)) -> Dataflow:
    module = function if isinstance(function, nn.Module) else Calls(function)
    return dataflow(trace(module, torch.zeros(shape)))


def kinds(graph: Dataflow) -> list[str]:
    steps = graph.steps[1:]
    return ["window" if step.footprint else "pointwise" if step.pointwise else "everything" for step in steps]


@pytest.mark.parametrize(
    "function",
    [
        functional.relu,
        torch.sigmoid,
        lambda x: x + 1,
        lambda x: x * x,
        nn.BatchNorm2d(4).eval(),
        nn.Dropout(),
        lambda x: torch.cat([x, x], 1),
        lambda x: torch.cat([x, x], -3),
        lambda x: x[:, :2],
        lambda x: x.permute(0, 1, 2, 3),
        lambda x: torch.softmax(x, 1),
    ],
)
def test_position_by_position(function):
    assert set(kinds(flow(function))) == {"pointwise"}


def test_shuffling_channels_is_position_by_position():
    graph = flow(lambda x: x.reshape(1, 2, 2, 8, 8).transpose(1, 2).reshape(1, 4, 8, 8))
    assert set(kinds(graph)) == {"pointwise"}


def test_chunks_of_channels_are_position_by_position():
    assert set(kinds(flow(lambda x: torch.add(*x.chunk(2, 1))))) == {"pointwise"}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flatten(1),
        lambda x: x.mean((2, 3)),
        lambda x: x.transpose(2, 3),
        lambda x: x.permute(0, 2, 3, 1),
        lambda x: torch.cat([x, x], 2),
        lambda x: x[:, :, 1:],
        lambda x: x.reshape(1, 4, 4, 16),
        lambda x: torch.softmax(x, 3),
        lambda x: torch.cumsum(x, 2),
        lambda x: functional.pad(x, (1, 1)),
        nn.Linear(8, 3),
    ],
)
def test_everything_may_depend_on_everything(function):
    assert "everything" in kinds(flow(function))


@pytest.mark.parametrize(
    "function",
    [
        nn.Conv2d(4, 2, 3, padding="same"),
        nn.MaxPool2d(2),
        nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True),
        nn.AdaptiveAvgPool2d(3),
        nn.AdaptiveMaxPool2d(1),
    ],
)
def test_windows(function):
    graph = flow(function)
    assert set(kinds(graph)[1:]) <= {"pointwise"}  # several outputs are taken apart
    assert graph.steps[1].footprint.output_size == graph.steps[1].size


def test_steps_carry_the_names_of_their_layers():
    graph = dataflow(trace(registered()["resnet18"].build(), torch.zeros(1, 3, 32, 32)))
    layers = [step.layer for step in graph.steps if step.footprint is not None]
    assert layers[:3] == ["conv1", "stages.0.0.conv1", "stages.0.0.conv2"]


def test_the_boundary_is_where_positions_end():
    graph = flow(lambda x: functional.relu(x).mean((2, 3)))
    assert graph.boundary() == (graph.steps[1].name,)


def test_an_output_with_positions_is_a_boundary():
    graph = flow(lambda x: functional.relu(x))
    assert graph.boundary() == graph.outputs == (graph.steps[1].name,)


def test_a_gate_is_no_boundary():
    graph = flow(lambda x: (x * torch.sigmoid(x.mean((2, 3), keepdim=True))).mean((2, 3)))
    product = next(step for step in graph.steps if step.name.startswith("mul"))
    assert graph.boundary() == (product.name,)
