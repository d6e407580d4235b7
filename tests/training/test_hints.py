"""What the changed blocks of a network put out is compared with its teacher's blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from loopwright.ir.contraction import operator_form
from loopwright.lowering.settling import inherited
from loopwright.models.trace import trace
from loopwright.training.hints import changed_parts, distance, outputs
from loopwright.training.images import Images
from loopwright.training.loop import Loop
from loopwright.training.schedule import FullSchedule
from loopwright.training.step import Teacher
from loopwright.transformations import TransformationSequence

pytestmark = pytest.mark.usefixtures("one_thread")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)) + x)


def network() -> nn.Module:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), Block(), Block(), nn.Conv2d(16, 16, 1), *head)


def images() -> Images:
    pixels = torch.randint(256, (64, 8, 8, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return Images(pixels, torch.arange(64) % 4)


def changed(sequences: dict[str, str]) -> tuple[nn.Module, nn.Module]:
    """A network with transformed layers that inherited the weights of the other."""
    traced = trace(network(), torch.zeros(1, 3, 8, 8))
    nests = {layer.name: layer.operator.nest() for layer in traced.transformable}
    forms = {
        name: operator_form(TransformationSequence.parse(text).apply(nests[name])) for name, text in sequences.items()
    }
    return inherited(traced, network(), forms, [torch.randn(32, 3, 8, 8)]), network()


def test_parts_are_the_blocks_of_transformed_layers_and_layers_outside_of_blocks() -> None:
    module, teacher = changed(
        {"1.conv": "bottleneck(co, 2, complete=project)", "2.conv": "identity", "3": "group(co, ci, 2)"}
    )
    assert changed_parts(module, teacher) == ("1", "2", "3")
    assert changed_parts(module, nn.Sequential(nn.Identity(), nn.Identity())) == ("1",)
    assert changed_parts(teacher, teacher) == ()


def test_outputs_are_those_inside_and_no_hook_stays() -> None:
    module, x = network().eval(), torch.randn(2, 3, 8, 8)
    with outputs(module, ("1", "2")) as found:
        module(x)
    assert torch.equal(found["2"], module[2](found["1"]))
    assert not any(part._forward_hooks for part in module.modules())


def test_the_distance_is_relative_and_of_outputs_of_one_shape() -> None:
    wanted = {"a": torch.full((2, 3), 2.0), "b": torch.ones(4), "c": torch.ones(5)}
    own = {"a": torch.full((2, 3), 1.0), "b": torch.ones(4), "c": torch.ones(6), "d": torch.ones(1)}
    assert float(distance(own, wanted)) == pytest.approx(0.25 / 2)
    assert float(distance({}, wanted)) == 0


def blocks_distance(module: nn.Module, teacher: nn.Module, x: Tensor) -> float:
    parts = changed_parts(module, teacher)
    with torch.no_grad(), outputs(module.eval(), parts) as own, outputs(teacher.eval(), parts) as wanted:
        module(x), teacher(x)
        return float(distance(own, wanted))


def test_hints_bring_blocks_nearer_to_the_teachers() -> None:
    x, reached = torch.randn(64, 3, 8, 8), []
    for hints in (0.0, 10.0):
        module, teacher = changed({"1.conv": "group(co, ci, 4)", "2.conv": "group(co, ci, 4)"})
        for _ in Loop(module, images(), FullSchedule(3, 16, 0.05), 0, teacher=Teacher(teacher, hints=hints)):
            pass
        reached.append(blocks_distance(module, teacher, x))
    assert reached[1] < reached[0]
