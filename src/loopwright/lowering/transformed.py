"""A network in PyTorch with some of its convolutions replaced by transformed operators."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

from torch import nn

from loopwright.ir.contraction import OperatorForm
from loopwright.lowering.torch_module import OperatorModule
from loopwright.models.network import Network


def transformed(network: Network, forms: Mapping[str, OperatorForm]) -> nn.Module:
    """A deep copy of the network's module in which each layer of ``forms`` computes its form, with inherited weights.

    Raises ArgumentError if a name is no layer that can be transformed.
    """
    module = copy.deepcopy(network.module)
    layers = [network.transformable_layer(name) for name in forms]
    replaced = {cast(nn.Conv2d, module.get_submodule(layer.name)): forms[layer.name] for layer in layers}
    operators = {conv: OperatorModule.from_conv(form, conv) for conv, form in replaced.items()}
    for path, submodule in list(module.named_modules(remove_duplicate=False)):
        if submodule in operators:
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, operators[submodule])
    return module
