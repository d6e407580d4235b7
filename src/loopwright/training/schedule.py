"""Schedules of the learning rate, and which weights decay."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import cos, pi

from torch import nn

from loopwright.legality.proxies._passes import weights


@dataclass(frozen=True)
class Schedule:
    """SGD with Nesterov momentum; the learning rate rises to its peak and falls to zero, linearly."""

    epochs: int = 4
    batch: int = 256
    peak: float = 0.05
    rising: float = 0.25
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in asdict(self).items())

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0."""
        done = (step + 1) / (steps + 1)
        return self.peak * min(done / self.rising, (1 - done) / (1 - self.rising))

    def decayed(self, module: nn.Module) -> set[str]:
        """The names of the parameters that decay."""
        return {name for name, _ in module.named_parameters()}


@dataclass(frozen=True)
class FullSchedule(Schedule):
    """The schedule of a whole training: the rate falls along a cosine, and neither biases nor the parameters of
    normalisations decay."""

    epochs: int = 30
    batch: int = 256
    peak: float = 0.2
    rising: float = 0.2
    label_smoothing: float = 0.1

    def rate(self, step: int, steps: int) -> float:
        done = (step + 1) / (steps + 1)
        falling = (done - self.rising) / (1 - self.rising)
        return self.peak * (done / self.rising if falling < 0 else (1 + cos(pi * falling)) / 2)

    def decayed(self, module: nn.Module) -> set[str]:
        return set(weights(module))
