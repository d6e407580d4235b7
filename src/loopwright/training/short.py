"""A short fixed training on one device, as the calibrated check learns from."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from time import monotonic

import torch
from torch import nn

from loopwright.models.seeding import seeded
from loopwright.training.accuracy import EVALUATED
from loopwright.training.images import Images, normalised
from loopwright.training.loop import Loop
from loopwright.training.schedule import Schedule
from loopwright.training.step import arithmetic, autocast, repeatable

FIRST_TIMED, TIMED_STEPS = 5, 8


@dataclass(frozen=True)
class Outcome:
    """What became of one training. Accuracies are in percent, of the images held out as they are, and averaged with
    their mirror images; ``train_loss`` is the mean over the last epoch. A network that would have taken too long has
    the step time only."""

    accuracy: float | None
    accuracy_mirrored: float | None
    train_loss: float | None
    step_ms: float
    seconds: float


class TooSlowError(Exception):
    """A network's steps take longer than allowed: ``step_ms``."""

    def __init__(self, step_ms: float):
        super().__init__(f"{step_ms:.1f} ms a step")
        self.step_ms = step_ms


class Trainer:
    """Trains networks on ``train`` and measures them on ``held_out``, which lie on the device."""

    def __init__(self, train: Images, held_out: Images, schedule: Schedule, most_seconds: float, graphs: bool = True):
        self._train, self._held_out, self._schedule = train, held_out, schedule
        self._most_seconds, self._graphs = most_seconds, graphs
        self._device = train.labels.device
        self._dtype = arithmetic(self._device)

    def train(self, module: nn.Module, seed: int) -> Outcome:
        """Trains the module, in place; ``seed`` draws order and augmentation, and what the module draws itself."""
        with seeded(seed, [self._device]), repeatable(self._device):
            return self._trained(module, seed)

    def _trained(self, module: nn.Module, seed: int) -> Outcome:
        begin = monotonic()
        loop = Loop(module, self._train, self._schedule, seed, graphs=self._graphs)
        try:
            step_ms = self._run(loop)
        except TooSlowError as slow:
            return Outcome(None, None, None, slow.step_ms, monotonic() - begin)
        accuracy, mirrored = self._accuracies(loop.module.eval())
        return Outcome(accuracy, mirrored, loop.loss, step_ms, monotonic() - begin)

    def _run(self, loop: Loop) -> float:
        """The milliseconds of a step."""
        pace = _Pace(self._device)
        for done in loop:
            pace.after(done)
            if done < loop.steps and pace.step_ms * loop.steps > self._most_seconds * 1e3:
                raise TooSlowError(pace.step_ms)
        return pace.step_ms

    @torch.no_grad()
    def _accuracies(self, module: nn.Module) -> tuple[float, float]:
        right, right_mirrored = 0, 0
        for start in range(0, len(self._held_out), EVALUATED):
            part = self._held_out.part(start, start + EVALUATED)
            images, labels = normalised(part, self._dtype), part.labels
            with autocast(self._device, self._dtype):
                plain, mirrored = module(images).float(), module(images.flip(3)).float()
            right += int((plain.argmax(1) == labels).sum())
            right_mirrored += int(((plain.softmax(1) + mirrored.softmax(1)).argmax(1) == labels).sum())
        return 100 * right / len(self._held_out), 100 * right_mirrored / len(self._held_out)


class _Pace:
    """Times a few steps early in a training; ``step_ms`` is 0 until then."""

    def __init__(self, device: torch.device):
        self._device, self._begin, self.step_ms = device, 0.0, 0.0

    def after(self, done: int) -> None:
        """To be called after each step; waits for the device around those that are timed."""
        since = done - FIRST_TIMED
        if since in (0, TIMED_STEPS):
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            now = monotonic()
            self.step_ms, self._begin = (now - self._begin) * 1e3 / TIMED_STEPS if since else 0.0, now


def released() -> None:
    """Gives back the memory of networks that are no longer held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
