from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from loopwright.lowering.network import compile_network, load_machine, output_arrays
from loopwright.models.sources import registered
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu

RUN = """
import sys, numpy as np, tvm
from tvm import relax

def memory(field):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(field)))

path, shape = sys.argv[1], tuple(map(int, sys.argv[2].split(",")))
x = tvm.runtime.tensor(np.ones(shape, "float32"))
before = memory("VmRSS")
machine = relax.VirtualMachine(tvm.runtime.load_module(path), tvm.cpu())
for _ in range(10):
    machine["main"](x)
print("loopwright" in sys.modules, memory("VmHWM") - before)
"""
"""Loads and runs a library with TVM alone, and prints by how many bytes memory grew at most."""


class Constants(nn.Module):
    """Gives back constants of several types, among them one that it gives twice and an empty one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.register_buffer("integers", torch.arange(5))
        self.register_buffer("doubles", torch.tensor([[0.5], [1.5]], dtype=torch.float64))
        self.register_buffer("flags", torch.tensor([True, False, True]))

    def forward(self, x):
        return self.first(x), self.integers + 0, self.doubles * 1, self.flags.clone(), self.integers + 0


def exported(module: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    compile_network(trace(module, torch.zeros(shape)), module, cpu()).export_library(path)


def test_constants_keep_type_shape_and_value_in_the_library(tmp_path):
    exported(Constants(), (1, 3, 4, 4), tmp_path / "net.so")
    machine = load_machine(tmp_path / "net.so", cpu())

    outputs = output_arrays(machine.main(machine.tensor(np.zeros((1, 3, 4, 4), "float32"))))
    assert [output.dtype.name for output in outputs] == ["float32", "int64", "float64", "bool", "int64"]
    assert outputs[1].tolist() == outputs[4].tolist() == [0, 1, 2, 3, 4]
    assert outputs[2].tolist() == [[0.5], [1.5]]
    assert outputs[3].tolist() == [True, False, True]


def test_two_libraries_of_one_process_keep_their_own_constants():
    modules = [nn.Sequential(nn.Conv2d(3, 4, 1)), nn.Sequential(nn.Conv2d(3, 4, 1))]
    compiled = [compile_network(trace(m, torch.zeros(1, 3, 4, 4)), m, cpu()) for m in modules]
    x = torch.ones(1, 3, 4, 4)
    for module, network in zip(modules, compiled, strict=True):
        assert torch.allclose(network(x), module(x), atol=1e-6)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_while_running_is_the_weights_and_little_more(tmp_path):
    source = registered()["resnet34"]
    module = source.build().eval()
    exported(module, source.input_shape, tmp_path / "net.so")
    arguments = [str(tmp_path / "net.so"), ",".join(map(str, source.input_shape))]
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True)
    loopwright_loaded, grown = done.stdout.split()
    weights = 4 * sum(parameter.numel() for parameter in module.parameters())
    largest_activation = 4 * 64 * 32 * 32
    assert loopwright_loaded == "False"
    assert int(grown) <= 1.5 * (weights + 2 * largest_activation)
