from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.errors import ArgumentError, TraceError
from loopwright.models.sources import registered
from loopwright.models.trace import trace


class Variety(nn.Module):
    """Every kind of convolution call that differs in whether it can be transformed."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding="same")
        self.bn = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, (3, 5), stride=2, padding=(1, 2), groups=4)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.even = nn.Conv2d(8, 8, 2, padding="same")
        self.reflected = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.twice = nn.Conv2d(8, 8, 1)
        self.own = nn.Parameter(torch.ones(4, 8, 1, 1))
        self.dropout = nn.Dropout(0.5)
        self.row = nn.Conv1d(4, 4, 3)
        self.classifier = nn.Linear(4, 5)

    def forward(self, x):
        x = functional.relu(self.bn(self.stem(x)))
        x = self.reflected(self.even(self.dilated(self.grouped(x))))
        x = functional.conv2d(self.twice(self.twice(x)), self.own)
        return self.classifier(self.row(self.dropout(x).flatten(2)).mean(2))


@pytest.fixture(scope="module")
def variety():
    return trace(Variety(), torch.zeros(2, 3, 9, 8), "variety")


def test_convolutions_have_their_operators(variety):
    operators = {layer.name: str(layer.operator) for layer in variety.transformable}
    assert operators == {
        "stem": "conv2d(n=2, co=8, ci=3, oh=9, ow=8, kh=3, kw=3)",
        "grouped": "conv2d(n=2, co=8, ci=8, oh=5, ow=4, kh=3, kw=5, stride=2, groups=4, input_size=9x8)",
        "dilated": "conv2d(n=2, co=8, ci=8, oh=5, ow=4, kh=3, kw=3, dilation=2)",
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("even", "padding 'same' is uneven for this kernel size"),
        ("reflected", "padding mode 'reflect': only zero padding is transformed"),
        ("twice", "its weight is used by 2 calls"),
        ("twice@2", "its weight is used by 2 calls"),
        ("conv2d_7", "its weight belongs to no Conv2d inside the network"),
        ("row", "conv1d: the search transforms two-dimensional convolutions only"),
        ("classifier", "linear: the search transforms two-dimensional convolutions only"),
    ],
)
def test_other_layers_say_why_they_are_kept(variety, name, reason):
    assert variety.layer(name).reason == reason
    with pytest.raises(ArgumentError, match="can't be transformed"):
        variety.transformable_layer(name)


def test_bare_convolution_is_no_layer_inside_a_network():
    (layer,) = trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)).layers
    assert (layer.name, layer.reason) == ("conv2d", "its weight belongs to no Conv2d inside the network")


def test_layers_are_in_order_with_shapes(variety):
    assert [layer.kind for layer in variety.layers][:4] == ["conv2d", "batch_norm", "relu", "conv2d"]
    grouped = variety.layer("grouped")
    assert (grouped.input_shape, grouped.output_shape) == ((2, 8, 9, 8), (2, 8, 5, 4))
    assert len({layer.name for layer in variety.layers}) == len(variety.layers)


def test_macs_and_parameters_are_counted_once(variety):
    assert variety.layer("stem").macs == 2 * 8 * 9 * 8 * 27
    assert variety.layer("classifier").macs == 2 * 4 * 5
    assert variety.layer("twice@2").parameters == 0
    assert sum(layer.parameters for layer in variety.layers) == variety.parameters


def test_unknown_layer_lists_the_transformable_ones(variety):
    with pytest.raises(ArgumentError, match="unknown layer 'head' of variety; .*: stem, grouped, dilated"):
        variety.layer("head")


def test_resnet34_is_21_million_parameters_in_11_workloads():
    network = trace(registered()["resnet34"].build(), torch.zeros(1, 3, 32, 32), "resnet34")
    assert network.parameters == 21_282_122
    assert len(network.transformable) == 36
    assert network.macs == pytest.approx(1.16e9, rel=0.01)
    assert len(network.workloads) == 11
    assert sum(map(len, network.workloads.values())) == 36


def test_module_is_left_as_it_was():
    module = Variety()
    module.bn.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [submodule.training for submodule in module.modules()]
    random_state = torch.random.get_rng_state()
    trace(module, torch.zeros(1, 3, 8, 8))
    assert [submodule.training for submodule in module.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_module_that_fails_keeps_its_mode():
    module = Branching()
    with pytest.raises(TraceError):
        trace(module, torch.zeros(1, 3, 8, 8))
    assert [module.training, module.conv.training] == [True, True]


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        if x.sum() > 0:
            x = -x
        return self.conv(x)


def test_data_dependent_branch_is_named_with_its_line(capfd):
    with pytest.raises(
        TraceError, match=r"cannot trace Branching at .*test_trace\.py:\d+: if x\.sum\(\) > 0:: Could not"
    ):
        trace(Branching(), torch.zeros(1, 3, 8, 8))
    assert "def forward" not in capfd.readouterr().err


def test_wrong_input_is_named_with_its_line():
    with pytest.raises(TraceError, match=r"test_trace\.py:\d+: x = functional\.relu.*channels") as caught:
        trace(Variety(), torch.zeros(1, 4, 8, 8))
    assert "\n" not in str(caught.value)


class Operators(nn.Module):
    """A layer of every kind that is an operator, and some whose arguments no operator has."""

    def __init__(self):
        super().__init__()
        self.volume = nn.Conv3d(1, 2, (2, 3, 3), padding=(0, 1, 1))
        self.up = nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1)
        self.dilated = nn.ConvTranspose2d(4, 4, 3, dilation=2, padding=2)
        self.sparse = nn.ConvTranspose2d(4, 4, 1, stride=2)
        self.row = nn.Conv1d(4, 8, 3, padding="same", dilation=2)
        self.tokens = nn.Linear(8, 6)

    def forward(self, x):
        x = self.sparse(self.dilated(self.up(self.volume(x).mean(2))))
        tokens = self.tokens(self.row(x.flatten(2)).transpose(1, 2))
        return torch.matmul(tokens, tokens.transpose(1, 2)) @ tokens


@pytest.fixture(scope="module")
def operators():
    return trace(Operators(), torch.zeros(2, 1, 3, 4, 5), "operators")


def test_other_layers_have_their_operators_too(operators):
    found = {layer.name: str(layer.operator) for layer in operators.layers if layer.operator is not None}
    assert found == {
        "volume": "conv3d(n=2, co=2, ci=1, od=2, oh=4, ow=5, kd=2, kh=3, kw=3)",
        "up": "conv_transpose2d(n=2, co=4, ci=2, oh=8, ow=10, kh=3, kw=3, stride=2)",
        "row": "conv1d(n=2, co=8, ci=4, ow=285, kw=3, dilation=2)",
        "tokens": "linear(n=2, co=6, ci=8, tokens=285)",
        "matmul": "matmul(n=2, m=285, p=285, k=6)",
        "matmul_1": "matmul(n=2, m=285, p=6, k=285)",
    }
    assert all(
        layer.operator.nest().macs == layer.macs
        for layer in operators.layers
        if layer.kind != "conv_transpose2d" and layer.operator
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("volume", "conv3d: the search transforms two-dimensional convolutions only"),
        ("dilated", "its dilation is 2x2; a transposed convolution must not be dilated"),
        ("sparse", "kh=1 is smaller than the stride of 2, so that some outputs would never be written"),
    ],
)
def test_they_say_why_the_search_keeps_them(operators, name, reason):
    assert reason in operators.layer(name).reason
    assert not operators.layer(name).transformable


def test_a_layer_without_loop_nest_is_refused_with_the_reason(operators):
    assert str(operators.operator("tokens")) == "linear(n=2, co=6, ci=8, tokens=285)"
    with pytest.raises(ArgumentError, match="layer 'dilated' has no loop nest: its dilation is 2x2"):
        operators.operator("dilated")


class Frozen(nn.Module):
    """A part without gradients, as of a frozen backbone."""

    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            x = self.backbone(x)
        return self.head(x)


def test_layers_in_blocks_without_gradients_are_layers():
    network = trace(Frozen(), torch.zeros(1, 3, 8, 8))
    assert [layer.name for layer in network.transformable] == ["backbone", "head"]
