"""The short training schedule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loopwright.training.images import Images
from loopwright.training.schedule import Schedule
from loopwright.training.short import TooSlowError, Trainer


def test_the_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    schedule = Schedule(peak=0.1)
    rates = [schedule.rate(step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(0.1, rel=0.05)
    assert rates.index(max(rates)) == pytest.approx(24, abs=1)
    assert rates[0] < 0.005
    assert rates[-1] < 0.005


def colours(count: int) -> Images:
    """Images of one of two colours, the class."""
    labels = torch.arange(count) % 2
    return Images((labels * 200).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 32, 32, 3).contiguous(), labels)


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def test_training_learns_and_is_repeatable() -> None:
    trainer = Trainer(colours(64), colours(20), Schedule(epochs=6, batch=8, peak=0.2), 100)
    first, second = trainer.train(small(), 3), trainer.train(small(), 3)
    assert first.accuracy == first.accuracy_mirrored == 100
    assert first.train_loss == second.train_loss
    assert trainer.train(small(), 4).train_loss != first.train_loss


def test_networks_that_would_take_too_long_are_given_up() -> None:
    trainer = Trainer(colours(64), colours(20), Schedule(epochs=4, batch=4), 1e-6)
    outcome = trainer.train(small(), 0)
    assert outcome.accuracy is None
    assert outcome.step_ms > 0
    with pytest.raises(TooSlowError, match=r"3\.0 ms a step"):
        raise TooSlowError(3.0)


def test_a_batch_larger_than_the_images_is_all_of_them() -> None:
    outcome = Trainer(colours(16), colours(20), Schedule(epochs=2, batch=256), 100).train(small(), 0)
    assert outcome.accuracy is not None
