"""A short fixed training schedule on one device; on a GPU each step is one CUDA graph."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import monotonic

import torch
from torch import Tensor, nn
from torch.nn import functional

from loopwright.search.scoring import BFLOAT16, fast_arithmetic
from loopwright.training.images import Images, augmented, normalised

EAGER_STEPS = 3
"""Steps before a graph is captured: libraries set themselves up, buffers come into being."""
FIRST_TIMED, TIMED_STEPS = 5, 8
EVALUATED = 250
"""Images evaluated at once."""


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
        self._most_seconds = most_seconds
        self._device = train.labels.device
        self._dtype = arithmetic(self._device)
        self._graphs = graphs and self._device.type == "cuda"
        self._batch = min(schedule.batch, len(train))
        self._steps_an_epoch = len(train) // self._batch

    def train(self, module: nn.Module, seed: int) -> Outcome:
        """Trains the module, in place; ``seed`` draws order and augmentation."""
        begin = monotonic()
        module = _on_device(module, self._device).train()
        generator = torch.Generator(self._device).manual_seed(seed)
        try:
            loss, step_ms = self._epochs(_Step(module, self._schedule, self._device, self._dtype), generator)
        except TooSlowError as slow:
            return Outcome(None, None, None, slow.step_ms, monotonic() - begin)
        accuracy, mirrored = self._accuracies(module.eval())
        return Outcome(accuracy, mirrored, loss, step_ms, monotonic() - begin)

    def _epochs(self, step: _Step, generator: torch.Generator) -> tuple[float, float]:
        """The mean loss of the last epoch, and the milliseconds of a step."""
        steps, batch = self._schedule.epochs * self._steps_an_epoch, self._batch
        run: Callable[[], None] = step
        pace = _Pace(self._device)
        for number in range(steps):
            k = number % self._steps_an_epoch
            if k == 0:
                pixels, labels = augmented(self._train, generator, self._dtype)
                step.loss_sum.zero_()
            if number == EAGER_STEPS and self._graphs:
                run = step.captured()
            pace.before(number)
            if pace.step_ms * steps > self._most_seconds * 1e3:
                raise TooSlowError(pace.step_ms)
            step.load(pixels[k * batch : (k + 1) * batch], labels[k * batch : (k + 1) * batch])
            step.rate.fill_(self._schedule.rate(number, steps))
            run()
        return float(step.loss_sum) / self._steps_an_epoch, pace.step_ms

    @torch.no_grad()
    def _accuracies(self, module: nn.Module) -> tuple[float, float]:
        right, right_mirrored = 0, 0
        for start in range(0, len(self._held_out), EVALUATED):
            part = self._held_out.part(start, start + EVALUATED)
            images, labels = normalised(part, self._dtype), part.labels
            with _autocast(self._device, self._dtype):
                plain, mirrored = module(images).float(), module(images.flip(3)).float()
            right += int((plain.argmax(1) == labels).sum())
            right_mirrored += int(((plain.softmax(1) + mirrored.softmax(1)).argmax(1) == labels).sum())
        return 100 * right / len(self._held_out), 100 * right_mirrored / len(self._held_out)


def arithmetic(device: torch.device) -> torch.dtype:
    """What networks are trained in: bfloat16 (with float32 weights) where the device multiplies matrices of it fast."""
    return torch.bfloat16 if device.type == "cuda" or fast_arithmetic() == BFLOAT16 else torch.float32


def _autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16, cache_enabled=False)


class _Pace:
    """Times a few steps early in a training; ``step_ms`` is 0 until then."""

    def __init__(self, device: torch.device):
        self._device, self._begin, self.step_ms = device, 0.0, 0.0

    def before(self, number: int) -> None:
        """To be called before each step; waits for the device around those that are timed."""
        since = number - FIRST_TIMED
        if since in (0, TIMED_STEPS):
            _wait(self._device)
            now = monotonic()
            self.step_ms, self._begin = (now - self._begin) * 1e3 / TIMED_STEPS if since else 0.0, now


class _Step:
    """One optimisation step over tensors that stay in place; ``rate`` is the learning rate, ``loss_sum`` adds up."""

    def __init__(self, module: nn.Module, schedule: Schedule, device: torch.device, dtype: torch.dtype):
        self._module, self._schedule, self._device, self._dtype = module, schedule, device, dtype
        self.loss_sum = torch.zeros((), device=device)
        self._images, self._labels = torch.empty(0), torch.empty(0)
        rate, momentum, decay = torch.zeros((), device=device), schedule.momentum, schedule.weight_decay
        self._optimizer = torch.optim.SGD(module.parameters(), rate, momentum, 0, decay, nesterov=True, fused=True)
        self.rate: Tensor = self._optimizer.param_groups[0]["lr"]

    def load(self, images: Tensor, labels: Tensor) -> None:
        """Puts the next batch in place."""
        if not self._images.numel():
            self._images, self._labels = images.clone(memory_format=torch.channels_last), labels.clone()
        else:
            self._images.copy_(images)
            self._labels.copy_(labels)

    def __call__(self) -> None:
        with _side_stream(self._device):
            self._run()

    def _run(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        with _autocast(self._device, self._dtype):
            logits = self._module(self._images)
        loss = functional.cross_entropy(logits.float(), self._labels, label_smoothing=self._schedule.label_smoothing)
        loss.backward()
        self._optimizer.step()
        self.loss_sum += loss.detach()

    def captured(self) -> Callable[[], None]:
        """The step as a graph; capturing does not run it."""
        graph = torch.cuda.CUDAGraph()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            self._run()
        return graph.replay


@contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """As PyTorch asks for what comes before a capture."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


def _on_device(module: nn.Module, device: torch.device) -> nn.Module:
    """Convolutions' weights with the channels last; those of transformed operators are laid out by these."""
    module = module.to(device)
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            child.weight.data = child.weight.data.contiguous(memory_format=torch.channels_last)
    return module


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def released() -> None:
    """Gives back the memory of networks that are no longer held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
