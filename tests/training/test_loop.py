"""The loop's state, its learning rates, which weights decay, and learning from a teacher."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from loopwright.ir.contraction import operator_form
from loopwright.lowering.transformed import transformed
from loopwright.models.trace import trace
from loopwright.training.images import Images
from loopwright.training.loop import Loop
from loopwright.training.schedule import FullSchedule, Schedule
from loopwright.training.step import Teacher
from loopwright.transformations import TransformationSequence

SCHEDULE = FullSchedule(epochs=3, batch=8, peak=0.05)


def images() -> Images:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (40, 8, 8, 3), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(40) % 4)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2),
        nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip


def changed() -> nn.Module:
    """Two contractions of the second convolution share weights, which lie flat."""
    traced = trace(network(), torch.zeros(1, 3, 8, 8))
    [layer] = [layer for layer in traced.transformable if layer.name == "4"]
    nest = TransformationSequence.parse("split(oh, 2) -> partition(oh_outer, 1)").apply(layer.operator.nest())
    return transformed(traced, {"4": operator_form(nest)})


def loop(module: nn.Module, teacher: Teacher | None = None) -> Loop:
    torch.manual_seed(7)
    return Loop(module, images(), SCHEDULE, 3, cutout=2, teacher=teacher)


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    written = io.BytesIO()
    torch.save(state, written)
    written.seek(0)
    loaded: dict[str, Any] = torch.load(written, weights_only=True)
    return loaded


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    if first.keys() != second.keys():
        return False
    pairs = [(first[name], second[name]) for name in first]
    return all(same(*pair) if isinstance(pair[0], dict) else torch.equal(*map(torch.as_tensor, pair)) for pair in pairs)


@pytest.mark.parametrize("make", [network, changed])
def test_a_loop_goes_on_from_every_step_as_if_it_had_not_stopped(make: Any) -> None:
    whole = loop(make())
    states = {done: through_a_file(whole.state()) for done in whole}
    assert list(states) == list(range(1, 16))
    for done, state in states.items():
        resumed = loop(make())
        resumed.load_state(state)
        assert same(resumed.state(), state)
        assert list(resumed) == list(range(done + 1, 16))
        assert same(resumed.state(), whole.state()), done
        assert (resumed.loss, resumed.accuracy) == (whole.loss, whole.accuracy)


def test_the_rate_rises_linearly_and_falls_along_a_cosine() -> None:
    schedule = FullSchedule(peak=0.4, rising=0.2)
    rates = [schedule.rate(step, 99) for step in range(99)]
    assert rates[19] == max(rates) == pytest.approx(0.4)
    assert rates[9] == pytest.approx(0.2)
    assert rates[59] == pytest.approx(0.2)
    assert 0 < rates[-1] < 1e-3


def test_neither_biases_nor_norms_decay_but_all_weights_of_operators_do() -> None:
    module = changed()
    names = {name for name, _ in module.named_parameters()}
    operators = {name for name in names if name.startswith("4.weight_")}
    assert operators
    assert FullSchedule().decayed(module) == {"0.weight", "7.weight"} | operators
    assert Schedule().decayed(module) == names


def test_decay_is_applied_to_what_decays_alone() -> None:
    module = network()
    before = {name: own.clone() for name, own in module.named_parameters()}
    plain, decaying = network(), network()
    for own, decay in ((plain, 0.0), (decaying, 0.5)):
        torch.manual_seed(7)
        run = iter(Loop(own, images(), FullSchedule(epochs=1, batch=40, peak=0.1, weight_decay=decay), 3))
        next(run)
    for name, own in plain.named_parameters():
        moved = not torch.equal(own, decaying.get_parameter(name))
        assert moved == (name in FullSchedule().decayed(module)), name
        assert not torch.equal(own, before[name]) or name == "4.bias"


def test_the_loss_with_a_teacher_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    scores, own, labelled = torch.randn(5, 4), torch.randn(5, 4), torch.tensor(2.0)
    soft, wanted = (scores / 4).softmax(1), (own / 4).softmax(1)
    divergence = (wanted * (wanted / soft).log()).sum(1).mean()
    teacher = Teacher(nn.Identity(), share=0.9)
    assert teacher.loss(scores, own, labelled) == pytest.approx(float(0.9 * 16 * divergence + 0.1 * 2))
    assert teacher.loss(own, own, labelled) == pytest.approx(0.2, abs=1e-6)


def test_a_network_learns_its_teachers_scores() -> None:
    teacher, module = network(), network()
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    before = {name: own.clone() for name, own in teacher.state_dict().items()}
    x = torch.randn(64, 3, 8, 8)

    def distance() -> float:
        with torch.no_grad():
            return float(functional.mse_loss(module.eval()(x).softmax(1), teacher.eval()(x).softmax(1)))

    first = distance()
    for _ in loop(module, Teacher(teacher)):
        pass
    assert distance() < first
    assert all(torch.equal(before[name], own) for name, own in teacher.state_dict().items())
