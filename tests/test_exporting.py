from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import loopwright
from loopwright import exporting
from loopwright.cli.main import run
from loopwright.errors import ArgumentError, CompileError
from loopwright.exporting import ExportedNetwork, export
from loopwright.ir.contraction import operator_form
from loopwright.lowering import onnx_file
from loopwright.lowering.torch_contraction import Strided
from loopwright.lowering.torch_module import OperatorModule
from loopwright.lowering.transformed import transformed
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.operators import parse
from loopwright.search.deliver import ChangedLayer, NetworkSpec, save
from loopwright.transformations import TransformationSequence
from loopwright.transformations.recipes import applicable

SHAPE = (1, 3, 8, 8)
OPERATOR = "conv2d(co=32, ci=32, oh=4, ow=4, kh=3, kw=3)"
DIAGONALS = ("depthwise(kh, kw)", "group(oh, ow, 4)", "split(ow, 2) -> group(ci, ow_outer, 2) -> depthwise(kw, kh)")
NET = """
from torch import nn

def tiny():
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path / 'net.py'}:tiny"


@pytest.fixture
def folder(tmp_path: Path, model: str) -> Path:
    """A result with one changed layer."""
    network = trace(resolve(model, SHAPE).build(3), torch.zeros(SHAPE))
    layer = ChangedLayer(str(network.operator("3")), "group(co, ci, 2)")
    folder = tmp_path / "result"
    folder.mkdir()
    save(folder, NetworkSpec(model, SHAPE, {"3": layer}), transformed(network, {"3": layer.form}))
    return folder


def operators(sequences: list[TransformationSequence]) -> nn.Module:
    """A network with a batch norm behind each of the operators."""
    nest, conv = parse(OPERATOR).nest(), nn.Conv2d(32, 32, 3, padding=1)
    forms = [operator_form(sequence.apply(nest)) for sequence in sequences]
    layers = [layer for form in forms for layer in (OperatorModule.from_conv(form, conv), nn.BatchNorm2d(32))]
    return nn.Sequential(nn.Conv2d(3, 32, 1), *layers).eval()


def recipes() -> list[TransformationSequence]:
    """Every recipe with the smallest factor that fits."""
    found = {recipe.name: sequence for recipe, _, sequence in reversed(list(applicable(parse(OPERATOR).nest())))}
    return list(found.values())


def strided(module: nn.Module) -> int:
    found = [layer for layer in module.modules() if isinstance(layer, OperatorModule)]
    return sum(isinstance(contraction, Strided) for layer in found for contraction in layer._contractions)


def written(module: nn.Module, out: Path, **options: Any) -> ExportedNetwork:
    return export(
        module, out, options.pop("shape", SHAPE), format="onnx" if out.suffix == ".onnx" else "torch", **options
    )


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2"])
@pytest.mark.parametrize("kind", ["recipes", "diagonals"])
def test_every_operator_is_exported_for_any_number_of_images(tmp_path, name, kind):
    sequences = recipes() if kind == "recipes" else [TransformationSequence.parse(text) for text in DIAGONALS]
    module = operators(sequences)
    assert strided(module) >= (3 if kind == "diagonals" else 0)
    result = written(module, tmp_path / name, shape=(1, 3, 4, 4), dynamic_batch=True)
    assert result.shapes == ((None, 3, 4, 4),)
    assert result.difference is not None
    assert result.difference < 1e-4
    assert list(tmp_path.iterdir()) == [result.path]
    assert str(Path(loopwright.__file__).parent).encode() not in result.path.read_bytes()
    if name == "net.onnx":
        graph = onnx.load(result.path).graph
        assert {node.domain for node in graph.node} == {""}
        assert [value.type.tensor_type.shape.dim[0].dim_param for value in graph.input] == ["batch"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net.onnx", "net.pt2"])
def test_a_resnet34_with_a_recipe_in_every_layer_is_exported(tmp_path, name):
    network = trace(resolve("resnet34").build(0), torch.zeros(1, 3, 32, 32))
    forms = {}
    for number, layer in enumerate(network.transformable):
        nest = parse(str(layer.operator)).nest()
        fitting = [sequence for recipe, _, sequence in applicable(nest) if recipe.name != "locally_connected"]
        if fitting:
            forms[layer.name] = operator_form(fitting[number % len(fitting)].apply(nest))
    module = transformed(network, forms)
    assert len(forms) > 30
    kind = "onnx" if name == "net.onnx" else "torch"
    result = export(module, tmp_path / name, torch.zeros(1, 3, 32, 32), format=kind, dynamic_batch=True)
    assert result.difference is not None
    assert result.difference < 1e-4


def test_a_result_folder_is_exported_with_its_weights(folder, tmp_path):
    import onnxruntime

    expected = loopwright.load(folder).eval()
    x = torch.randn(SHAPE)
    for kind, name in (("torch", "net.pt2"), ("onnx", "net.onnx"), ("tvm", "net.so")):
        result = loopwright.export(folder, tmp_path / name, format=kind, tune=False)
        assert (result.format, result.shapes) == (kind, (SHAPE,))
    program = torch.export.load(tmp_path / "net.pt2").module()
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    [scores] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert torch.allclose(program(x), expected(x), atol=1e-5)
    assert torch.allclose(torch.from_numpy(scores), expected(x), atol=1e-5)


def test_a_torch_program_is_loaded_without_this_package(folder, tmp_path):
    loopwright.export(folder, tmp_path / "net.pt2", format="torch", dynamic_batch=True)
    torch.save(x := torch.randn(5, *SHAPE[1:]), tmp_path / "x.pt")
    code = (
        "import sys; sys.modules['loopwright'] = None; import torch\n"
        "net = torch.export.load('net.pt2').module()\n"
        "torch.save(net(torch.load('x.pt')), 'y.pt')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert torch.allclose(torch.load(tmp_path / "y.pt"), loopwright.load(folder).eval()(x), atol=1e-5)


class TwoInputs(nn.Module):
    """Two inputs, one of them integers, and nested outputs."""

    def __init__(self):
        super().__init__()
        self.first, self.names = nn.Conv2d(3, 4, 1), nn.Embedding(6, 4)

    def forward(self, x, labels):
        y = self.first(x) + self.names(labels)[:, :, None, None]
        return {"sum": y, "parts": (x, y.mean((2, 3)))}


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2"])
def test_several_inputs_and_outputs(tmp_path, name):
    inputs = (torch.randn(SHAPE), torch.tensor([3]))
    kind = "onnx" if name == "net.onnx" else "torch"
    result = export(TwoInputs(), tmp_path / name, inputs, format=kind, dynamic_batch=True)
    assert result.shapes == ((None, 3, 8, 8), (None,))


def test_the_module_stays_as_it_is(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout()).train()
    written(module, tmp_path / "net.pt2")
    assert all(submodule.training for submodule in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2"])
def test_of_a_file_that_differs_nothing_is_left(model, tmp_path, monkeypatch, capsys, name):
    out = tmp_path / "out" / name
    out.parent.mkdir()
    out.write_text("older")

    def zeros(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), 4)

    monkeypatch.setattr(exporting, "load_program", lambda path: zeros)
    monkeypatch.setattr(exporting, "load_onnx", lambda path: (zeros, "zeros"))
    kind = "onnx" if name == "net.onnx" else "torch"
    assert run(["export", model, "--input", "1,3,8,8", "--format", kind, "-o", str(out)]) == 2
    error = capsys.readouterr().err
    assert (
        f"error: the {kind} file of tiny differs from PyTorch by 1.0e+00 of its largest output (at most 1e-04" in error
    )
    assert error.count("\n") == 1
    assert out.read_text() == "older"
    assert list(out.parent.iterdir()) == [out]


def test_without_the_packages_one_line_says_what_to_install(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(onnx_file, "find_spec", lambda package: None)
    out = str(tmp_path / "net.onnx")
    assert run(["export", model, "--input", "1,3,8,8", "--format", "onnx", "-o", out]) == 2
    expected = "error: ONNX files need onnx and onnxscript; pip install 'loopwright[onnx]'\n"
    assert capsys.readouterr().err == expected


def test_without_onnx_runtime_the_reference_compares(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda package: None if package == "onnxruntime" else object())
    result = written(nn.Conv2d(3, 4, 3), tmp_path / "net.onnx")
    assert result.runtime == "onnx.reference"


class FixedBatch(nn.Module):
    """Takes two images."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.conv(x).reshape(2, -1)


def test_a_network_that_takes_one_number_of_images_says_so(tmp_path):
    with pytest.raises(ArgumentError, match="FixedBatch does not take any number of images .* out the dynamic batch"):
        export(FixedBatch(), tmp_path / "net.pt2", (2, 3, 8, 8), format="torch", dynamic_batch=True)
    assert not list(tmp_path.iterdir())


def test_more_weights_than_a_file_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 10)
    with pytest.raises(ArgumentError, match="at most 2 GB of weights; take the format torch"):
        written(nn.Conv2d(3, 4, 3), tmp_path / "net.onnx")


class Spectrum(nn.Module):
    """An operation that ONNX has no form of."""

    def forward(self, x):
        return torch.linalg.eigvals(x).real


def test_what_has_no_onnx_is_refused_in_one_line(tmp_path):
    with pytest.raises(CompileError, match="the network has no ONNX form: .*linalg_eig") as caught:
        written(Spectrum(), tmp_path / "net.onnx")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "name", "options", "message"),
    [
        ("onnx", "net.pt2", [], "name a file of the format onnx *.onnx"),
        ("torch", "net.pt", [], "name a file of the format torch *.pt2"),
        ("tvm", "net.pt2", [], "name it *.so"),
        ("tvm", "net.so", ["--dynamic-batch"], "one number of images; leave out the dynamic batch"),
        ("torch", "missing/net.pt2", [], "can't be written"),
    ],
)
def test_wrong_arguments_are_one_line(model, tmp_path, capsys, kind, name, options, message):
    arguments = ["export", model, "--input", "1,3,8,8", "--format", kind, "-o", str(tmp_path / name), *options]
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_unknown_format_names_the_known_ones(tmp_path):
    with pytest.raises(ArgumentError, match="unknown format 'caffe'; known: onnx, torch, tvm"):
        export(nn.Conv2d(3, 4, 1), tmp_path / "net.caffe", SHAPE, format="caffe")


def test_the_command_says_what_it_wrote(folder, tmp_path, capsys):
    out = tmp_path / "net.pt2"
    arguments = ["export", str(folder), "--format", "torch", "-o", str(out), "--dynamic-batch"]
    assert run(arguments) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert f"wrote       {out}: 0.0 MB\ntakes       N×3×8×8\ndifference  " in printed
    assert f"of the largest output, from PyTorch (torch {torch.__version__})" in printed
    assert run([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["shapes"] == [[None, 3, 8, 8]]
    assert np.isclose(facts["file_bytes"], out.stat().st_size, rtol=0.01)


def test_what_the_runtime_can_not_run_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    module = nn.Sequential(nn.Conv2d(3, 4, 3)).double()
    with pytest.raises(CompileError, match=r"ONNX Runtime can't run the network: .*Conv"):
        export(module, tmp_path / "net.onnx", torch.zeros(SHAPE, dtype=torch.float64), format="onnx")
    assert list(tmp_path.iterdir()) == []
