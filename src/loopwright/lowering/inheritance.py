"""The weights of one changed network in another that computes a part of it."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from loopwright.lowering.torch_module import OperatorModule


def inherit(module: nn.Module, source: nn.Module) -> None:
    """Gives every operator of ``module`` the weights and the bias of the layer in its place in ``source``, element by
    element of the untransformed weight, and every batch norm the state of the other. The layer is a convolution, or an
    operator that has those elements."""
    for path, child in module.named_modules():
        if isinstance(child, OperatorModule):
            _inherit(child, source.get_submodule(path))
        elif isinstance(child, _BatchNorm):
            child.load_state_dict(source.get_submodule(path).state_dict())


@torch.no_grad()
def _inherit(operator: OperatorModule, source: nn.Module) -> None:
    values = _untransformed(source)
    for name, elements in operator.origins().items():
        operator.get_parameter(name).copy_(values[torch.from_numpy(elements).to(values.device)])
    if operator.bias is not None:
        operator.bias.copy_(cast(Tensor, source.bias))


def _untransformed(source: nn.Module) -> Tensor:
    """The layer's weights at their places in the untransformed weight, flat; zero where it has none."""
    if not isinstance(source, OperatorModule):
        return cast(Tensor, source.weight).reshape(-1)
    origins = {name: torch.from_numpy(elements) for name, elements in source.origins().items()}
    like = source.get_parameter(next(iter(origins)))
    values = like.new_zeros(1 + max(int(elements.max()) for elements in origins.values()))
    for name, elements in origins.items():
        values[elements.to(values.device)] = source.get_parameter(name)
    return values
