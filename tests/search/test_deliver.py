from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from loopwright.errors import ArgumentError
from loopwright.lowering.transformed import transformed
from loopwright.models.trace import trace
from loopwright.search.deliver import SPEC, WEIGHTS, ChangedLayer, NetworkSpec, load, save

SEQUENCES = {"0": "bottleneck(oh, 2) -> bottleneck(ow, 2)", "2": "unroll(co, 2) -> on s1: group(co, ci, 2)"}


def original() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 3, padding=1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(384, 4))


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, nn.Module]:
    network = trace(original(), torch.zeros(1, 3, 8, 8))
    operators = {layer.name: str(layer.operator) for layer in network.transformable}
    spec = NetworkSpec("", (1, 3, 8, 8), {k: ChangedLayer(operators[k], text) for k, text in SEQUENCES.items()})
    module = transformed(network, {name: layer.form for name, layer in spec.layers.items()})
    save(tmp_path, spec, module)
    return tmp_path, module


def test_a_loaded_network_gives_the_same_outputs_and_trains(saved: tuple[Path, nn.Module]) -> None:
    folder, module = saved
    loaded = load(folder, original())
    x = torch.randn(5, 3, 8, 8)
    assert torch.equal(loaded.eval()(x), module.eval()(x))
    loaded.train()(x).sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())


def test_registered_models_need_no_module(tmp_path: Path) -> None:
    from loopwright.models.resolve import resolve

    source = resolve("resnet18")
    network = trace(source.build(), torch.zeros(source.input_shape), "resnet18")
    layer = network.transformable[1]
    spec = NetworkSpec(
        "resnet18", source.input_shape, {layer.name: ChangedLayer(str(layer.operator), "group(co, ci, 2)")}
    )
    save(tmp_path, spec, transformed(network, {layer.name: spec.layers[layer.name].form}))
    assert sum(p.numel() for p in load(tmp_path).parameters()) == network.parameters - 64 * 64 * 9 // 2


def test_specs_round_trip() -> None:
    spec = NetworkSpec(
        "resnet34", (1, 3, 32, 32), {"conv1": ChangedLayer("conv2d(co=4, ci=4, oh=8, ow=8)", "identity")}
    )
    assert NetworkSpec.from_json(spec.to_json()) == spec


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"holds no network.json; name the folder"):
        load(tmp_path)


def test_a_network_from_python_needs_its_module(saved: tuple[Path, nn.Module]) -> None:
    with pytest.raises(ArgumentError, match=r"pass the original as load\(\.\.\., module=\)"):
        load(saved[0])


def test_another_module_is_refused(saved: tuple[Path, nn.Module]) -> None:
    other = original()
    other[2] = nn.Conv2d(8, 6, 5, padding=2)
    with pytest.raises(ArgumentError, match="layer '2' of the original is conv2d"):
        load(saved[0], other)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 1, "layers": 3}'])
def test_damaged_specs_are_told(saved: tuple[Path, nn.Module], text: str) -> None:
    (saved[0] / SPEC).write_text(text)
    with pytest.raises(ArgumentError, match="is damaged"):
        load(saved[0], original())


def test_newer_specs_are_told(saved: tuple[Path, nn.Module]) -> None:
    spec = json.loads((saved[0] / SPEC).read_text()) | {"format": 99}
    (saved[0] / SPEC).write_text(json.dumps(spec))
    with pytest.raises(ArgumentError, match="has format 99, this version reads 1; upgrade"):
        load(saved[0], original())


@pytest.mark.parametrize("content", [b"", b"not tensors"])
def test_damaged_weights_are_told(saved: tuple[Path, nn.Module], content: bytes) -> None:
    (saved[0] / WEIGHTS).write_bytes(content)
    with pytest.raises(ArgumentError, match="does not fit"):
        load(saved[0], original())
