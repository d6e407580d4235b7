from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import loopwright
from loopwright import compiling
from loopwright.cli.main import run
from loopwright.compiling import Tuning, write_network
from loopwright.errors import ArgumentError, CompileError
from loopwright.lowering.network import build_network, load_machine, output_arrays
from loopwright.lowering.transformed import transformed
from loopwright.models.resolve import resolve
from loopwright.models.trace import trace
from loopwright.search.deliver import ChangedLayer, NetworkSpec, save
from loopwright.targets.cpu import cpu

NET = """
from torch import nn

def tiny():
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ConvTranspose2d(16, 4, 2))
"""
SHAPE = (1, 3, 8, 8)


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path / 'net.py'}:tiny"


class TwoInputs(nn.Module):
    """Two inputs, one of them integers, and nested outputs."""

    def __init__(self):
        super().__init__()
        self.first, self.names = nn.Conv2d(3, 4, 1), nn.Embedding(6, 4)

    def forward(self, x, labels):
        y = self.first(x) + self.names(labels)[:, :, None, None]
        return {"sum": y, "parts": (x, y.mean((2, 3)))}


def test_tensors_give_tensors_and_arrays_give_arrays_nested_alike():
    module, inputs = TwoInputs(), (torch.randn(SHAPE), torch.tensor([3]))
    compiled = loopwright.compile(module, inputs, tune=False)
    found, expected = compiled(*inputs), module.eval()(*inputs)
    assert torch.allclose(found["sum"], expected["sum"], atol=1e-5)
    assert torch.allclose(found["parts"][1], expected["parts"][1], atol=1e-5)
    arrays = compiled(*(value.numpy() for value in inputs))
    assert isinstance(arrays["sum"], np.ndarray)
    assert np.array_equal(arrays["parts"][0], inputs[0].numpy())


def test_the_module_stays_in_its_mode():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout()).train()
    loopwright.compile(module, SHAPE, tune=False)
    assert all(submodule.training for submodule in module.modules())


def test_inputs_of_another_number_shape_or_type_are_refused():
    compiled = loopwright.compile(nn.Conv2d(3, 4, 1), SHAPE, tune=False)
    with pytest.raises(ArgumentError, match="takes 1 inputs, not 2"):
        compiled(torch.zeros(SHAPE), torch.zeros(SHAPE))
    with pytest.raises(ArgumentError, match=r"for an input of shape \(1, 3, 8, 8\), not \(2, 3, 8, 8\)"):
        compiled(torch.zeros(2, 3, 8, 8))
    with pytest.raises(ArgumentError, match="for an input of float32, not complex64"):
        compiled(torch.zeros(SHAPE, dtype=torch.complex64))


def test_arguments_are_checked():
    with pytest.raises(ArgumentError, match="needs an example input"):
        loopwright.compile(nn.Conv2d(3, 4, 1))
    with pytest.raises(ArgumentError, match="at least 1 thread, not 0"):
        loopwright.compile(nn.Conv2d(3, 4, 1), SHAPE, threads=0)
    with pytest.raises(ArgumentError, match="code for cuda needs an NVIDIA GPU"):
        loopwright.compile(nn.Conv2d(3, 4, 1), SHAPE, target="cuda")


def test_the_command_writes_a_library_and_says_what_it_did(model, tmp_path, capsys):
    out = tmp_path / "net.so"
    arguments = ["compile", model, "--input", "1,3,8,8", "-o", str(out), "--no-tune", "--threads", "2"]
    assert run(arguments) == 0, capsys.readouterr().err
    written = capsys.readouterr().out
    assert f"wrote       {out}: " in written
    assert "different ones for cpu, 2 threads" in written
    assert "note        nn.conv2d_transpose of output shape (1, 4, 7, 7) is left to TVM" in written
    assert "of the largest output, from PyTorch" in written
    assert "ms, median of " in written
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["net.py", "net.so"]


def test_a_folder_that_optimize_wrote_compiles_with_its_weights(model, tmp_path):
    network = trace(resolve(model, SHAPE).build(3), torch.zeros(SHAPE))
    layer = ChangedLayer(str(network.operator("2")), "group(co, ci, 2)")
    changed = transformed(network, {"2": layer.form})
    folder = tmp_path / "result"
    folder.mkdir()
    save(folder, NetworkSpec(model, SHAPE, {"2": layer}), changed)
    compiled = loopwright.compile(folder, tune=False)
    x = torch.randn(SHAPE)
    assert torch.allclose(compiled(x), changed.eval()(x), atol=1e-5)
    several = torch.randn(3, *SHAPE[1:])
    assert torch.allclose(loopwright.compile(folder, several, tune=False)(several), changed.eval()(several), atol=1e-5)
    with pytest.raises(ArgumentError, match=r"takes images of 3x8x8; only how many may be changed"):
        loopwright.compile(folder, (1, 3, 9, 9))


@pytest.mark.parametrize(
    ("out", "message"),
    [("net.dll", "name it *.so"), ("missing/net.so", "can't be written"), ("folder.so", "is a folder")],
)
def test_where_nothing_can_be_written_one_line_says_so(model, tmp_path, capsys, out, message):
    (tmp_path / "folder.so").mkdir()
    assert run(["compile", model, "--input", "1,3,8,8", "-o", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("failure", [KeyboardInterrupt, CompileError("wrong numbers")], ids=["interrupt", "refusal"])
def test_a_failure_leaves_an_older_file_and_nothing_else(model, tmp_path, monkeypatch, failure):
    out = tmp_path / "out" / "net.so"
    out.parent.mkdir()
    out.write_text("older")

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(compiling, "require_agreement", fail)
    code = run(["compile", model, "--input", "1,3,8,8", "-o", str(out), "--no-tune"])
    assert code == (130 if failure is KeyboardInterrupt else 2)
    assert out.read_text() == "older"
    assert list(out.parent.iterdir()) == [out]


def test_for_another_kind_of_processor_an_archive_of_objects_is_written(model, tmp_path):
    import tarfile

    with pytest.raises(ArgumentError, match="cpu-neon does not run on this processor"):
        loopwright.compile(model, SHAPE, "cpu-neon")
    with pytest.raises(ArgumentError, match=r"name it \*.tar"):
        write_network(model, tmp_path / "net.so", SHAPE, "cpu-neon")
    written = write_network(model, tmp_path / "net.tar", SHAPE, "cpu-neon", tuning=Tuning(enabled=False))
    assert written.difference is written.timing is None
    with tarfile.open(tmp_path / "net.tar") as archive:
        names = [Path(name).name for name in archive.getnames()]
    assert {"constants.bin", "constants.c", "devc.c", "lib0.o"} <= set(names)


def test_an_archive_links_by_the_command_in_the_docs(model, tmp_path, monkeypatch):
    command = re.search(r"```\n(tar xf net\.tar\n.*?)```", Path("docs/compile.md").read_text(), re.DOTALL)
    assert command is not None
    network = trace(resolve(model, SHAPE).build(0), torch.zeros(SHAPE))
    build_network(network, network.module, cpu()).export_objects(tmp_path / "net.tar")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    subprocess.run(command[1], shell=True, cwd=tmp_path, check=True)
    machine, x = load_machine(tmp_path / "net.so", cpu()), torch.randn(SHAPE)
    [found] = output_arrays(machine.main(machine.tensor(x.numpy())))
    assert np.abs(found - network.module.eval()(x).detach().numpy()).max() < 1e-4


def test_several_threads_may_call_one_network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1)).eval()
    compiled = loopwright.compile(module, (1, 3, 64, 64), threads=1, tune=False)
    images = [torch.randn(1, 3, 64, 64) for _ in range(40)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(compiled, images))
    with torch.no_grad():
        assert all(torch.allclose(own, module(x), atol=1e-4) for own, x in zip(found, images, strict=True))


def test_networks_of_other_types_than_float32_are_refused_by_layer():
    with pytest.raises(CompileError, match="conv2d of layer '0': its input is float64, not float32"):
        loopwright.compile(nn.Sequential(nn.Conv2d(3, 8, 3)).double(), torch.zeros(SHAPE, dtype=torch.float64))


def test_inputs_may_have_any_name():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, 1)

        def forward(self, convolved, linear):
            return self.first(convolved) + linear

    inputs = torch.randn(SHAPE), torch.randn(1, 4, 8, 8)
    module = Named().eval()
    assert torch.allclose(loopwright.compile(module, inputs, tune=False)(*inputs), module(*inputs), atol=1e-5)


def test_weights_may_be_buffers():
    class Blurred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3)
            self.register_buffer("blur", torch.full((8, 1, 3, 3), 1 / 9))

        def forward(self, x):
            return functional.conv2d(self.first(x), self.blur, stride=2, padding=1, groups=8)

    module, x = Blurred().eval(), torch.randn(SHAPE)
    assert torch.allclose(loopwright.compile(module, x, tune=False)(x), module(x), atol=1e-5)


def test_an_image_may_come_without_a_batch():
    module, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval(), torch.randn(3, 8, 8)
    assert torch.allclose(loopwright.compile(module, x, tune=False)(x), module(x), atol=1e-5)


def test_without_a_compiler_the_error_names_it(model, monkeypatch):
    monkeypatch.setattr("loopwright.lowering.network.cc.get_cc", lambda: "no-such-compiler")
    with pytest.raises(CompileError, match="a C.. compiler is needed"):
        loopwright.compile(model, SHAPE, tune=False)
