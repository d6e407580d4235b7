"""Fisher Potential of candidates of one network; all that a worker needs in order to judge them."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import partial

import torch
from torch import nn

from loopwright.legality.capacity import CalibratedCheck
from loopwright.legality.capacity.comparison import require_convolution
from loopwright.legality.capacity.sequential import CHECK, Evidence, Protocol, SequentialTest
from loopwright.legality.proxies.fisher import Fisher
from loopwright.legality.verdict import Verdict
from loopwright.lowering.torch_module import OperatorModule
from loopwright.models.images import Minibatch
from loopwright.models.network import Network
from loopwright.search.space import Choice
from loopwright.targets.cpu import CPU_INFO, processor_flags

Choices = Mapping[str, Choice]
ORIGINAL: Choices = {}
CALIBRATION = f"{CHECK} calibration"
FLOAT32, BFLOAT16 = "float32", "bfloat16"
KEPT = 2
"""Times the network's parameters that the operators of candidates may have, of those that are kept for later ones."""


class CandidateModules:
    """Candidates as PyTorch modules that share one copy of the network ``module``, of which ``layers`` can change, and
    one module for each layer and operator, so that building a candidate costs next to nothing; those that were not used
    for the longest time are dropped when they have more than `KEPT` times the network's parameters. The module of a
    candidate is good until the next is built.

    The copy is on ``device`` and computes in ``dtype`` (by default, where and in what the network does)."""

    def __init__(
        self, module: nn.Module, layers: Iterable[str], device: str | None = None, dtype: torch.dtype | None = None
    ):
        self._module = copy.deepcopy(module).to(device=device, dtype=dtype)
        self._convolutions = {layer: self._module.get_submodule(layer) for layer in layers}
        self._operators: OrderedDict[tuple[str, str], OperatorModule] = OrderedDict()
        self._most = KEPT * _parameters(module)
        self._kept = 0

    def build(self, choices: Choices) -> nn.Module:
        """The network with the layers of ``choices`` changed; all others are the original's."""
        for layer, convolution in self._convolutions.items():
            choice = choices.get(layer)
            _set(self._module, layer, convolution if choice is None else self._operator(layer, choice))
        return self._module

    def _operator(self, layer: str, choice: Choice) -> OperatorModule:
        key = (layer, choice.key)
        if key in self._operators:
            self._operators.move_to_end(key)
            return self._operators[key]
        convolution = self._convolutions[layer]
        assert isinstance(convolution, nn.Conv2d)
        operator = self._operators[key] = OperatorModule.from_conv(choice.form, convolution)
        self._kept += _parameters(operator)
        while self._kept > self._most and len(self._operators) > 1:
            self._kept -= _parameters(self._operators.popitem(last=False)[1])
        return operator


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class Scorer:
    """Scores candidates of ``network`` on ``minibatch`` on ``device``: on all images in float32, on parts of them in
    the arithmetic that is asked for. The network itself is never touched. It can be pickled if the network's module
    can: the trace, which can't, stays behind.

    Raises `ArgumentError` if there is no convolution that candidates could change.
    """

    def __init__(self, network: Network, minibatch: Minibatch, device: str | None = None):
        require_convolution(network.module)
        convolutions = {name for name, module in network.module.named_modules() if isinstance(module, nn.Conv2d)}
        self._fisher = Fisher(tuple(layer.name for layer in network.layers if layer.name in convolutions))
        self._module, self._layers = network.module, tuple(layer.name for layer in network.transformable)
        self._minibatch, self._device = minibatch, device
        self._modules: dict[str, CandidateModules] = {}
        self._parts: dict[tuple[int, int], Minibatch] = {}

    @property
    def images(self) -> int:
        """Those of the minibatch."""
        return len(self._minibatch)

    def exact(self, choices: Choices) -> float:
        """The score on all images."""
        return self._fisher.score(self.module(choices), self._minibatch)

    def module(self, choices: Choices, arithmetic: str = FLOAT32) -> nn.Module:
        """The candidate, good until the next one is asked for."""
        if arithmetic not in self._modules:
            dtype = torch.bfloat16 if arithmetic == BFLOAT16 else None
            self._modules[arithmetic] = CandidateModules(self._module, self._layers, self._device, dtype)
        return self._modules[arithmetic].build(choices)

    def part(self, choices: Choices, arithmetic: str, start: int, stop: int) -> float:
        """The score on the images from ``start`` up to ``stop``."""
        if (start, stop) not in self._parts:
            self._parts[start, stop] = self._minibatch.part(start, stop)
        return self._fisher.score(self.module(choices, arithmetic), self._parts[start, stop])


def calibration(scorer: Scorer, choices: Choices, *, protocol: Protocol) -> Verdict:
    """All scores that the protocol asks for of the original and the panel; nothing is judged."""
    found = Evidence.of(protocol, scorer.exact(choices), partial(scorer.part, choices, protocol.arithmetic))
    return Verdict(True, CALIBRATION, "scored on all images and on each part", scores=found.scores(protocol))


def judged(scorer: Scorer, choices: Choices, *, test: SequentialTest) -> Verdict:
    """The test's verdict; a piece of work for any process that has the scorer."""

    def score(start: int, stop: int) -> float:
        if stop - start == scorer.images:
            return scorer.exact(choices)
        return scorer.part(choices, test.protocol.arithmetic, start, stop)

    return test.judge(score)


def predicted(scorer: Scorer, choices: Choices, *, check: CalibratedCheck) -> Verdict:
    """The calibrated check's verdict; a piece of work like `judged`."""
    return check.judge(scorer.module(choices))


def fast_arithmetic() -> str:
    """What parts of the minibatch are scored in: bfloat16 where the processor has units that multiply matrices of it
    (AMX: a score takes about half the time), float32 elsewhere."""
    flags = processor_flags(CPU_INFO.read_text()) if CPU_INFO.exists() else frozenset()
    return BFLOAT16 if "amx_bf16" in flags else FLOAT32


def _set(module: nn.Module, path: str, child: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, child)
