"""One optimisation step; on a GPU it can be captured as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.nn import functional

from loopwright.search.scoring import BFLOAT16, fast_arithmetic
from loopwright.training.hints import changed_parts, distance, outputs
from loopwright.training.schedule import Schedule

MOMENTUM = "momentum_buffer"


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network whose class scores, at ``temperature``, make up ``share`` of the loss, labels the rest (Hinton,
    Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015); ``hints`` times the `distance` between what
    the changed parts put out and the same parts of the teacher is added. The values are the best of twelve that were
    tried on held-out images (docs/training.md)."""

    module: nn.Module
    share: float = 1.0
    temperature: float = 4.0
    hints: float = 10.0

    def loss(self, scores: Tensor, own: Tensor, labelled: Tensor) -> Tensor:
        """Of a network with the ``scores``, where the teacher has its ``own``: the divergence between both, times the
        square of the temperature, mixed with the loss on the labels."""
        wanted, given = (functional.log_softmax(values / self.temperature, 1) for values in (own, scores))
        divergence = functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
        return self.share * self.temperature**2 * divergence + (1 - self.share) * labelled


class Step:
    """One step over tensors that stay in place. ``loss_sum`` and ``right`` add up the mean losses of the batches and
    the images whose class had the highest score."""

    def __init__(
        self,
        module: nn.Module,
        schedule: Schedule,
        device: torch.device,
        dtype: torch.dtype,
        teacher: Teacher | None = None,
    ):
        self._module, self._schedule, self._device, self._dtype = module, schedule, device, dtype
        self._teacher = teacher
        self._parts = changed_parts(module, teacher.module) if teacher is not None and teacher.hints else ()
        self.loss_sum = torch.zeros((), device=device)
        self.right = torch.zeros((), dtype=torch.int64, device=device)
        self._images, self._labels = torch.empty(0), torch.empty(0)
        self._parameters = {name: own for name, own in module.named_parameters() if own.requires_grad}
        self._optimizer = torch.optim.SGD(
            self._groups(schedule.decayed(module)),
            torch.zeros((), device=device),
            schedule.momentum,
            nesterov=True,
            fused=True,
        )

    def load(self, images: Tensor, labels: Tensor) -> None:
        """Puts the next batch in place."""
        if not self._images.numel():
            self._images, self._labels = images.clone(memory_format=torch.channels_last), labels.clone()
        else:
            self._images.copy_(images)
            self._labels.copy_(labels)

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step."""
        for group in self._optimizer.param_groups:
            group["lr"].fill_(rate)

    def __call__(self) -> None:
        with _side_stream(self._device):
            self._run()

    def captured(self) -> Callable[[], None]:
        """The step as a graph; capturing does not run it."""
        graph = torch.cuda.CUDAGraph()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph, stream=torch.cuda.Stream(self._device)):  # PyTorch keeps one of the first GPU used
            self._run()
        return graph.replay

    def momenta(self) -> dict[str, Tensor]:
        """The momentum of every parameter that has been moved, by name."""
        states = {name: self._optimizer.state.get(own, {}) for name, own in self._parameters.items()}
        return {name: state[MOMENTUM] for name, state in states.items() if state.get(MOMENTUM) is not None}

    def load_momenta(self, momenta: Mapping[str, Tensor]) -> None:
        """Goes on with these; to be called before the first step."""
        for name, own in momenta.items():
            parameter = self._parameters[name]
            self._optimizer.state[parameter][MOMENTUM] = own.to(parameter.device, copy=True)

    def _run(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(self._device, self._dtype), outputs(self._module, self._parts) as found:
            scores = self._module(self._images)
        scores = scores.float()
        loss = functional.cross_entropy(scores, self._labels, label_smoothing=self._schedule.label_smoothing)
        if self._teacher is not None:
            taught, wanted = self._taught(self._teacher)
            loss = self._teacher.loss(scores, taught, loss)
            if self._parts:
                loss = loss + self._teacher.hints * distance(found, wanted)
        loss.backward()
        self._optimizer.step()
        self.loss_sum += loss.detach()
        self.right += (scores.detach().argmax(1) == self._labels).sum()

    def _groups(self, decayed: set[str]) -> list[dict[str, Any]]:
        """The parameters that decay, and those that don't, as far as there are any."""
        parts = [
            ([own for name, own in self._parameters.items() if (name in decayed) is decays], decay)
            for decays, decay in ((True, self._schedule.weight_decay), (False, 0.0))
        ]
        return [{"params": own, "weight_decay": decay} for own, decay in parts if own]

    @torch.no_grad()
    def _taught(self, teacher: Teacher) -> tuple[Tensor, dict[str, Tensor]]:
        """The teacher's class scores, and what its parts put out."""
        with autocast(self._device, self._dtype), outputs(teacher.module, self._parts) as wanted:
            return teacher.module(self._images).float(), wanted


def arithmetic(device: torch.device) -> torch.dtype:
    """What networks are trained in: bfloat16 (with float32 weights) where the device multiplies matrices of it fast."""
    return torch.bfloat16 if device.type == "cuda" or fast_arithmetic() == BFLOAT16 else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Computes in ``dtype``; casts are not kept, as a graph wants it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16, cache_enabled=False)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Inside, cuDNN computes the same way every time, and ``device`` is the GPU that streams and graphs are of."""
    flags = cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=cudnn.allow_tf32)
    with flags, torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        yield


def on_device(module: nn.Module, device: torch.device) -> nn.Module:
    """The module there, with the channels of convolutions' weights last; those of transformed operators are laid out by
    these."""
    module = module.to(device)
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            child.weight.data = child.weight.data.contiguous(memory_format=torch.channels_last)
    return module


@contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """As PyTorch asks for what comes before a capture."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)
