"""What kernels and networks compute on the GPU of this machine, held against PyTorch on the processor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import loopwright
from loopwright import targets
from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import schedules
from loopwright.measurement import tolerances
from loopwright.measurement.agreement import Agreement
from loopwright.measurement.kernel_files import Builders, KernelFiles, Wanted
from loopwright.measurement.timer import Protocol
from loopwright.measurement.tune import tune_checked
from loopwright.models.resolve import resolve
from loopwright.operators import parse
from loopwright.targets.cuda import cuda
from loopwright.targets.processors import runs_here
from loopwright.targets.target import FLOAT32, Target
from loopwright.transformations import TransformationSequence
from tests.lowering.cuda.test_kernel import OPERATORS, SEQUENCES

TARGET = cuda()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not runs_here(TARGET), reason="no NVIDIA GPU here")]

EPILOGUE = Epilogue(scale=True, shift=True, residual=True, relu=True)
DENSE = OPERATORS["dense"]
NETWORKS_OWN = (
    "conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)",
    "conv2d(co=128, ci=128, oh=16, ow=16, kh=3, kw=3)",
    "conv2d(co=256, ci=256, oh=8, ow=8, kh=3, kw=3)",
    "conv2d(co=512, ci=512, oh=4, ow=4, kh=3, kw=3)",
    "conv2d(co=256, ci=128, oh=8, ow=8, kh=3, kw=3, stride=2)",
    "conv2d(co=192, ci=1008, oh=8, ow=8, kh=1, kw=1)",
)
CASES = [*((name, "") for name in (*OPERATORS.values(), *NETWORKS_OWN)), *((DENSE, own) for own in SEQUENCES)]
TRIED, MANY = 3, 16


NARROW = [precision for precision in TARGET.precisions if precision != FLOAT32]
"""Those of its tensor cores; without any, their tests are skipped."""


def narrow(precision: str) -> Target:
    """The same GPU, its products in a precision."""
    return targets.named("cuda", precision=precision)


def form_of(operator: str, sequence: str) -> OperatorForm:
    nest = parse(operator).nest()
    return operator_form(TransformationSequence.parse(sequence).apply(nest) if sequence else nest)


def wanted(operator: str, sequence: str, n: int, target: Target = TARGET) -> list[Wanted]:
    form = form_of(operator, sequence)
    return [Wanted(form, n, EPILOGUE, target, schedule) for schedule in schedules(form, target, n=n)[:TRIED]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelFiles]:
    """All kernels of the cases, built side by side."""
    builders = Builders(KernelFiles(tmp_path_factory.mktemp("kernels")))
    usual = [own for case in CASES for n in (1, 3) for own in wanted(*case, n)]
    narrower = [own for case in CASES for precision in NARROW for own in wanted(*case, MANY, narrow(precision))]
    for _ in builders.build([*usual, *narrower]):
        pass
    yield builders.files
    builders.close()


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(("operator", "sequence"), CASES)
def test_an_operator_equals_pytorch(operator: str, sequence: str, n: int, files: KernelFiles):
    agreement = Agreement.of(form_of(operator, sequence), n, EPILOGUE, TARGET)
    for own in wanted(operator, sequence, n):
        compiled = files.load(own)
        assert compiled is not None, own.schedule
        assert agreement.error(own.kernel(), compiled) < tolerances.KERNEL[FLOAT32], own.schedule


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize(("operator", "sequence"), CASES)
def test_an_operator_on_tensor_cores_is_close_to_pytorch(
    operator: str, sequence: str, precision: str, files: KernelFiles
):
    """PyTorch computes in float32 on the processor, a thousand times closer to float64 than what is allowed here."""
    agreement = Agreement.of(form_of(operator, sequence), MANY, EPILOGUE, narrow(precision))
    for own in wanted(operator, sequence, MANY, narrow(precision)):
        compiled = files.load(own)
        assert compiled is not None, own.schedule
        assert agreement.error(own.kernel(), compiled) < tolerances.KERNEL[precision], own.schedule


def test_timing_is_of_the_device(files: KernelFiles):
    """A kernel of four times the work takes longer, however fast it is launched."""
    small, large = ("conv2d(co=256, ci=256, oh=8, ow=8, kh=3, kw=3)", "conv2d(co=512, ci=512, oh=8, ow=8, kh=3, kw=3)")
    protocol = Protocol(rounds=5, sample_ms=1.0)
    found = [
        tune_checked(form, 1, EPILOGUE, TARGET, protocol, schedules(form, TARGET)[:TRIED], 60.0, files)
        for form in (form_of(small, ""), form_of(large, ""))
    ]
    first, second = (own.measurement.median_ms for own in found)
    assert 0.001 < first < second < 1.0


def small() -> nn.Module:
    """Convolutions, a residual, pooling, and a linear layer."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1, groups=4)
            self.norm, self.last = nn.BatchNorm2d(32), nn.Linear(32, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x).relu()
            x = (self.norm(self.second(x)) + x).relu()
            return self.last(nn.functional.max_pool2d(x, 2).mean((2, 3)))

    torch.manual_seed(0)
    return Net().eval()


def test_a_network_equals_pytorch(tmp_path: Path):
    module, x = small(), torch.randn(2, 3, 16, 16)
    compiled = loopwright.compile(module, x, "cuda", store=tmp_path / "store.sqlite")
    assert torch.allclose(compiled(x), module(x), atol=1e-4)
    compiled.export_library(tmp_path / "net.so")
    assert (tmp_path / "net.so").stat().st_size > 0


@pytest.mark.parametrize("name", ["resnet18", "resnext29_2x64d"])
def test_a_known_network_is_compiled_without_tuning(name: str):
    source = resolve(name)
    module, x = source.build(0).eval(), torch.randn(source.input_shape)
    compiled = loopwright.compile(name, target="cuda", tune=False)
    with torch.no_grad():
        expected = module(x)
    assert (compiled(x) - expected).abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize("precision", NARROW)
def test_a_known_network_on_tensor_cores_is_close_to_pytorch(precision: str, tmp_path: Path):
    """`loopwright.compile` raises where it is not."""
    source = resolve("resnet18")
    module, x = source.build(0).eval(), torch.randn(8, *source.input_shape[1:])
    store = tmp_path / "store.sqlite"
    compiled = loopwright.compile("resnet18", tuple(x.shape), "cuda", precision=precision, store=store)
    with torch.no_grad():
        expected = module(x)
    assert 1e-6 < (compiled(x) - expected).abs().max() / expected.abs().max() < tolerances.NETWORK[precision]


def test_a_search_delivers_a_network_of_the_gpu(tmp_path: Path):
    found = loopwright.optimize(
        small(), (1, 3, 16, 16), target="cuda", out=tmp_path / "out", operators=6, configurations=20, tolerance=20,
        store=tmp_path / "store.sqlite",
    )  # fmt: skip
    assert found.summary.target == "cuda"
    assert "NVIDIA" in found.summary.environment["gpu"]
