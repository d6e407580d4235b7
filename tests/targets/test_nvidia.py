"""GPUs of this machine, and by name."""

from __future__ import annotations

import pytest

from loopwright import targets
from loopwright.errors import ArgumentError
from loopwright.targets import nvidia
from loopwright.targets.cuda import ARCHITECTURES, cuda
from loopwright.targets.nvidia import NvidiaGpu
from loopwright.targets.processors import require_runnable, runs_here

OTHER = NvidiaGpu("A GPU of tomorrow", "sm_199", 7, 1000, 2000, 3000)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("cuda", "processors"):
        monkeypatch.setattr(f"loopwright.targets.{module}.gpu_here", lambda: OTHER)


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nvidia, "LIBRARY", "libnothing.so")
    nvidia.gpu_here.cache_clear()
    assert nvidia.gpu_here() is None
    nvidia.gpu_here.cache_clear()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_a_name(architecture: str):
    target = targets.named(f"cuda-{architecture}")
    assert (target.name, target.processor) == (f"cuda-{architecture}", architecture)
    assert target.gpu is not None


@pytest.mark.usefixtures("here")
def test_the_gpu_that_is_here_is_read_even_where_its_architecture_is_not_known():
    target = cuda()
    assert target.gpu is not None
    assert (target.processor, target.gpu.multiprocessors, target.gpu.shared_bytes) == ("sm_199", 7, 1000)
    assert (target.l1_bytes, target.l2_bytes) == (2000, 3000)
    assert runs_here(target)


def test_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nvidia, "COMPILER", "no-such-compiler")
    with pytest.raises(ArgumentError, match="there is no no-such-compiler to compile code for the GPU"):
        nvidia.require_tools()


def test_a_pytorch_for_processors_alone_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nvidia, "COMPILER", "python3")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ArgumentError, match="PyTorch .* does not run on the GPU"):
        nvidia.require_tools()


@pytest.mark.usefixtures("here")
def test_code_for_another_architecture_does_not_run():
    with pytest.raises(ArgumentError, match="cuda-sm_90 needs an NVIDIA GPU of sm_90, and this one is of sm_199"):
        require_runnable(targets.named("cuda-sm_90"))
