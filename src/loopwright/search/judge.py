"""The judge: structure first, then Fisher Potential, each candidate once in this run or any before."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from hashlib import sha256

import torch
from torch import nn

from loopwright.legality.capacity import ProxyCheck
from loopwright.legality.proxies.fisher import Fisher
from loopwright.legality.structure import StructureCheck
from loopwright.legality.verdict import Verdict
from loopwright.lowering.torch_module import OperatorModule
from loopwright.models.dataflow import dataflow
from loopwright.models.images import Minibatch
from loopwright.models.network import Network
from loopwright.search.reuse import Reuse
from loopwright.search.space import Choice
from loopwright.store import Store, VerdictKey


class CandidateModules:
    """Candidates as PyTorch modules that share one copy of the network and one module for each layer and operator, so
    that building a candidate costs next to nothing. The module of a candidate is good until the next is built."""

    def __init__(self, network: Network):
        self._module = copy.deepcopy(network.module)
        self._convolutions = {layer.name: self._module.get_submodule(layer.name) for layer in network.transformable}
        self._operators: dict[tuple[str, str], OperatorModule] = {}

    def build(self, choices: Mapping[str, Choice]) -> nn.Module:
        """The network with the layers of ``choices`` changed; all others are the original's."""
        for layer, convolution in self._convolutions.items():
            choice = choices.get(layer)
            _set(self._module, layer, convolution if choice is None else self._operator(layer, choice))
        return self._module

    def _operator(self, layer: str, choice: Choice) -> OperatorModule:
        key = (layer, choice.key)
        if key not in self._operators:
            convolution = self._convolutions[layer]
            assert isinstance(convolution, nn.Conv2d)
            self._operators[key] = OperatorModule.from_conv(choice.form, convolution)
        return self._operators[key]


class Judge:
    """Gives verdicts on candidates of a network, out of the store where they are known; ``reuse`` counts how often."""

    def __init__(self, network: Network, minibatch: Minibatch, store: Store):
        self._modules = CandidateModules(network)
        self._structure = StructureCheck.of(dataflow(network))
        self._store = store
        self._minibatch = minibatch
        self.reuse = Reuse()
        self._network = fingerprint(network.module)
        layers = tuple(layer.name for layer in network.layers if isinstance(_module(network, layer.name), nn.Conv2d))
        self.fisher = ProxyCheck.of(network.module, Fisher(layers), minibatch)

    @property
    def original_score(self) -> float:
        """The Fisher Potential of the original network."""
        return self.fisher.original

    def structure(self, choices: Mapping[str, Choice]) -> Verdict:
        """Whether the receptive field is kept."""
        return self._structure.judge({layer: choice.form for layer, choice in choices.items()})

    def capacity(self, choices: Mapping[str, Choice]) -> Verdict:
        """Whether the Fisher Potential is not below the original's; asked of each combination of operators once."""
        key = VerdictKey(self._network, _identity(choices), "fisher", self._minibatch.fingerprint)
        known = self._store.verdict(key)
        if known is not None:
            self.reuse.found += 1
            return known
        self.reuse.made += 1
        verdict = self.fisher.judge(self._modules.build(choices))
        self._store.record_verdict(key, verdict)
        return verdict


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of a module's structure and of all its parameters and buffers."""
    digest = sha256(repr(module).encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _identity(choices: Mapping[str, Choice]) -> str:
    """Equal for candidates that compute the same, whatever their sequences."""
    return "; ".join(f"{layer}: {choice.key}" for layer, choice in sorted(choices.items())) or "identity"


def _module(network: Network, name: str) -> nn.Module | None:
    return dict(network.module.named_modules()).get(name)


def _set(module: nn.Module, path: str, child: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, child)
