"""Which functions a network is made of."""

from __future__ import annotations

import torch
from torch import nn

from loopwright.lowering.network_kernels import NetworkKernels
from loopwright.lowering.relax_import import import_network
from loopwright.lowering.rewriting import Rewriting
from loopwright.models.trace import trace
from loopwright.targets.cpu import cpu


def calls(module: nn.Module, shape: tuple[int, ...]) -> list[str]:
    """The operators and functions that the rewritten network calls, in order, functions without their numbers."""
    network = trace(module.eval(), torch.zeros(shape))
    kernels = NetworkKernels(network, module, cpu(2))
    rewritten = Rewriting(import_network(network, module), kernels).module["main"]
    bindings = [binding for block in rewritten.body.blocks for binding in block.bindings]
    made = [binding.value for binding in bindings if hasattr(binding.value, "op")]
    named = [call.args[0].name_hint if call.op.name == "relax.call_tir" else call.op.name for call in made]
    return [name.rstrip("0123456789").rstrip("_") for name in named]


def test_nothing_is_copied_from_the_image_to_the_scores():
    stages = (nn.Conv2d(3, 32, 7, 2, 3), nn.BatchNorm2d(32), nn.ReLU6(), nn.MaxPool2d(3, 2, 1))
    module = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 20), nn.ReLU())
    found = calls(module, (1, 3, 32, 32))
    assert [name for name in found if name != "relax.reshape"] == ["convolution", "pooling", "pooling", "linear"]


def test_images_of_many_channels_are_blocked_once():
    module = nn.Sequential(nn.Conv2d(32, 32, 1), nn.Conv2d(32, 32, 1))
    assert calls(module, (1, 32, 4, 4)).count("relax.permute_dims") == 2, "one at each end"
