"""Faults of the compiler, met while a network is compiled."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from loopwright.errors import CompileError
from loopwright.isolation import Bounds
from loopwright.lowering.network import compile_network
from loopwright.models.trace import trace
from loopwright.search import compiling
from loopwright.search.compiling import compile_apart
from loopwright.targets.cpu import cpu

X = torch.randn(1, 3, 8, 8)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10)).eval()


def crash(*_: object) -> None:
    os.write(2, b"LLVM ERROR: Cannot select\n")
    os.kill(os.getpid(), signal.SIGABRT)


def hang(*_: object) -> None:
    time.sleep(600)


def refuse(*_: object) -> None:
    raise CompileError("cannot compile Sequential: no such operation")


def test_the_network_is_the_same_as_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    module = network()
    traced = trace(module, X)
    here = compile_network(traced, module, cpu())(X)
    apart, again, _ = compile_apart(traced, [module] * 3, cpu(), lambda *_: None)
    assert torch.equal(again(X), here)
    assert torch.equal(apart(X), here)
    assert (apart.weight_bytes > 0, apart.kernels) == (True, compile_network(traced, module, cpu()).kernels)
    monkeypatch.setattr(compiling, "can_fork", lambda: False)
    assert torch.equal(compile_apart(traced, [module], cpu(), lambda *_: None)[0](X), here)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (crash, "^compiling Sequential met a crash: ended by SIGABRT: LLVM ERROR: Cannot select$"),
        (hang, "^compiling Sequential met a time limit: not done within 1 s$"),
        (refuse, "^cannot compile Sequential: no such operation$"),
    ],
)
def test_a_fault_is_one_line(
    fault: Callable[..., None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = network()
    traced = trace(module, X)
    monkeypatch.setattr(compiling, "_link", fault)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(CompileError, match=message):
        compile_apart(traced, [module, module], cpu(), lambda *_: None, Bounds(seconds=1))
    assert list(tmp_path.iterdir()) == []
