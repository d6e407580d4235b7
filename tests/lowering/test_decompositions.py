from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.errors import CompileError
from loopwright.lowering.network import compile_network
from loopwright.measurement.network_agreement import require_agreement
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu


class After(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.first, self.function = nn.Conv2d(3, 8, 3), function

    def forward(self, x):
        return self.function(self.first(x))


def difference(function) -> float:
    module = After(function).eval()
    network = trace(module, torch.zeros(1, 3, 12, 12))
    return require_agreement(network, module, compile_network(network, module, cpu()))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: functional.unfold(x, (3, 2), dilation=2, padding=1, stride=2),
        lambda x: functional.adaptive_max_pool2d(x, (3, 7)),
        lambda x: functional.avg_pool2d(x, 3, 2, 1, divisor_override=5),
        lambda x: functional.max_pool2d(x, 2, padding=1, dilation=2),
        lambda x: torch.add(x, x.relu(), alpha=0.3) - torch.sub(x.relu(), x, alpha=2).add_(x, alpha=3),
        lambda x: x.amax((1, 3)) - x.amin((1, 3), keepdim=False),
        lambda x: (x.amax(1, keepdim=True), x.min(2).values, x.prod(1), x.logsumexp(1)),
        functional.selu,
        functional.logsigmoid,
        lambda x: functional.interpolate(x, scale_factor=0.6),
        lambda x: functional.grid_sample(x, torch.linspace(-0.9, 0.9, 50).view(1, 5, 5, 2), align_corners=False),
        lambda x: (x.cumsum(2), x.sort(1)[0], torch.topk(x.flatten(1), 5)),
        lambda x: torch.where(x > 0, x, torch.zeros(())),
        lambda x: torch.zeros_like(x).scatter(1, torch.zeros_like(x, dtype=torch.long), x),
    ],
    ids=[
        *(
            "unfold",
            "adaptive_max_pool2d",
            "divisor",
            "dilated pooling",
            "alpha",
            "extremes",
            "reductions",
            "selu",
            "logsigmoid",
            "fraction",
            "grid",
        ),
        *("sorted", "single number", "scatter"),
    ],
)
def test_operation_that_the_importer_lacks_or_misreads_equals_pytorch(function):
    assert difference(function) < 1e-5


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: functional.max_pool2d(x, 2, return_indices=True), "max_pool2d_with_indices returns the places"),
        (lambda x: torch.fft.rfft2(x).abs(), "TVM's importer lacks fft_rfft2|TVM's importer lacks _fft_r2c"),
        (lambda x: (x, 3), "it returns 3, which is no tensor"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name(function, message):
    with pytest.raises(CompileError, match=message):
        difference(function)


def test_a_module_that_changes_its_own_buffer_is_refused():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x):
            self.calls.add_(1)
            return x * self.calls

    network = trace(Counting(), torch.zeros(1, 3, 4, 4))
    with pytest.raises(CompileError, match="it changes its own calls when it runs"):
        compile_network(network, network.module, cpu())
