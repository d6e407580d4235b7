"""torchvision's networks by name; most tests need no torchvision."""

from __future__ import annotations

import sys

import pytest
import torch

from loopwright.cli.main import run
from loopwright.errors import ArgumentError
from loopwright.models.resolve import resolve
from loopwright.models.sources import registered
from loopwright.models.sources import torchvision as source

NEEDS = "needs torchvision"
PARAMETERS = {"resnet18": 11_689_512, "resnet50": 25_557_032, "densenet121": 7_978_856, "mobilenet_v2": 3_504_872}
"""As torchvision's documentation gives them."""


def test_names_and_input_shapes() -> None:
    own = {name: model for name, model in registered().items() if name.startswith("torchvision/")}
    assert len(own) == len(source.NAMES) == len(set(source.NAMES))
    assert own["torchvision/resnet18"].input_shape == (1, 3, 224, 224)
    assert own["torchvision/inception_v3"].input_shape == (1, 3, 299, 299)


def test_without_torchvision_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    line = "torchvision/resnet18 needs torchvision: pip install 'loopwright[torchvision]'"
    with pytest.raises(ArgumentError) as refusal:
        resolve("torchvision/resnet18").build()
    assert str(refusal.value) == line
    assert run(["inspect", "torchvision/resnet18"]) == 2
    assert capsys.readouterr().err == f"error: {line}\n"


def test_the_names_are_torchvisions() -> None:
    models = pytest.importorskip("torchvision", reason=NEEDS).models
    assert set(source.NAMES) == set(models.list_models(module=models))


def test_a_network_that_the_installed_torchvision_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    models = pytest.importorskip("torchvision", reason=NEEDS).models
    monkeypatch.setattr(models, "list_models", lambda module: ["alexnet"])
    with pytest.raises(ArgumentError, match="that is installed has no network 'resnet18'"):
        source.build("resnet18")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_output(name: str) -> None:
    pytest.importorskip("torchvision", reason=NEEDS)
    with torch.device("meta"):
        network = source.build(name).eval()
        assert network(torch.zeros(source.INPUT_SHAPE)).shape == (1, 1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", source.WITH_AUXILIARY_CLASSIFIERS)
def test_networks_with_auxiliary_classifiers_give_scores_alone_in_training_too(name: str) -> None:
    pytest.importorskip("torchvision", reason=NEEDS)
    shape = source.INPUT_SHAPES.get(name, source.INPUT_SHAPE)
    with torch.device("meta"):
        assert source.build(name)(torch.zeros((2, *shape[1:]))).shape == (2, 1000)


def test_weights_follow_the_seed() -> None:
    pytest.importorskip("torchvision", reason=NEEDS)
    model = registered()["torchvision/squeezenet1_1"]
    first, second, other = (next(model.build(seed).parameters()) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_inspect_shows_the_layers(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchvision", reason=NEEDS)
    assert run(["inspect", "torchvision/resnet18"]) == 0
    assert "torchvision/resnet18: " in capsys.readouterr().out
