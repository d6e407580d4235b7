"""The loop of all trainings. What it does is determined by its seed, and its state can be taken after every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from loopwright.training.images import Epoch, Images
from loopwright.training.schedule import Schedule
from loopwright.training.step import Step, Teacher, arithmetic, on_device

EAGER_STEPS = 3
"""Steps before a graph is captured: libraries set themselves up, buffers come into being."""


class Loop:
    """Trains ``module`` on the device where ``images`` lie, in place; ``seed`` draws order and augmentation. Iterating
    takes the steps that are left, and gives how many of all ``steps`` are ``done`` after each."""

    def __init__(
        self,
        module: nn.Module,
        images: Images,
        schedule: Schedule,
        seed: int,
        *,
        cutout: int = 0,
        teacher: Teacher | None = None,
        graphs: bool = True,
    ):
        self._images, self._schedule, self._cutout = images, schedule, cutout
        self._device = images.labels.device
        self._dtype = arithmetic(self._device)
        self._graphs = graphs and self._device.type == "cuda"
        self._batch = min(schedule.batch, len(images))
        self.steps_an_epoch = len(images) // self._batch
        self.steps = schedule.epochs * self.steps_an_epoch
        self.done = 0
        self.module = on_device(module, self._device).train()
        if teacher is not None:
            on_device(teacher.module, self._device).eval()
        self._step = Step(self.module, schedule, self._device, self._dtype, teacher)
        self._generator = torch.Generator(self._device).manual_seed(seed)
        self._epoch_began = self._generator.get_state()

    def __iter__(self) -> Iterator[int]:
        run: Callable[[], None] = self._step
        first = self.done
        for number in range(first, self.steps):
            k = number % self.steps_an_epoch
            if k == 0 or number == first:
                epoch = self._epoch(anew=k == 0)
            if number == first + EAGER_STEPS and self._graphs:
                run = self._step.captured()
            self._step.load(*epoch.batch(k * self._batch, (k + 1) * self._batch, self._dtype))
            self._step.set_rate(self.rate(number))
            run()
            self.done = number + 1
            yield self.done

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self._schedule.rate(step, self.steps)

    @property
    def loss(self) -> float:
        """The mean over the steps of the present epoch; waits for the device."""
        return float(self._step.loss_sum) / self._done_in_epoch

    @property
    def accuracy(self) -> float:
        """The percentage of the augmented images of the present epoch that were classified rightly when they came."""
        return 100 * int(self._step.right) / (self._done_in_epoch * self._batch)

    def state(self) -> dict[str, Any]:
        """All that a loop of the same arguments needs to go on from here, on the CPU."""
        return {
            "done": self.done,
            "module": {name: _kept(own) for name, own in self.module.state_dict().items()},
            "momenta": {name: _kept(own) for name, own in self._step.momenta().items()},
            "loss_sum": _kept(self._step.loss_sum),
            "right": _kept(self._step.right),
            "epoch_began": self._epoch_began.clone(),
            "generator": self._generator.get_state(),
            "random": self._random_states(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from there; to be called before the first step."""
        self.done = state["done"]
        self.module.load_state_dict(state["module"])
        self._step.load_momenta(state["momenta"])
        self._step.loss_sum.copy_(state["loss_sum"])
        self._step.right.copy_(state["right"])
        self._epoch_began = state["epoch_began"]
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["random"]["cpu"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(state["random"]["cuda"], self._device)

    def _epoch(self, anew: bool) -> Epoch:
        """The next epoch, or again the one in which a saved loop stood."""
        if anew:
            self._epoch_began = self._generator.get_state()
            self._step.loss_sum.zero_()
            self._step.right.zero_()
        else:
            self._generator.set_state(self._epoch_began)
        return Epoch.drawn(self._images, self._generator, self._cutout)

    @property
    def _done_in_epoch(self) -> int:
        return (self.done - 1) % self.steps_an_epoch + 1

    def _random_states(self) -> dict[str, Tensor]:
        """Of the generators that the network itself may draw from."""
        states = {"cpu": torch.get_rng_state()}
        return states | ({"cuda": torch.cuda.get_rng_state(self._device)} if self._device.type == "cuda" else {})


def _kept(tensor: Tensor) -> Tensor:
    """A copy on the CPU, laid out alike."""
    return tensor.detach().to("cpu", copy=True)
