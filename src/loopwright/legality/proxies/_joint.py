"""Several proxies by one pass through the network."""

from __future__ import annotations

from torch import nn

from loopwright.legality.proxies._passes import filled, weights
from loopwright.legality.proxies.fisher import fisher_with_gradients
from loopwright.legality.proxies.grad_norm import grad_norm
from loopwright.legality.proxies.snip import snip
from loopwright.models.images import Minibatch

JOINT = ("fisher", "snip", "grad_norm")
"""The proxies that are read off the gradients of the loss."""


def joint_scores(module: nn.Module, layers: tuple[str, ...], minibatch: Minibatch) -> dict[str, float]:
    """The scores by `JOINT`, Fisher Potential at ``layers``; errors as those proxies raise them."""
    leaves = {name: module.get_parameter(name).detach().requires_grad_() for name in weights(module)}
    potential = fisher_with_gradients(module, layers, minibatch, leaves)
    found = filled(leaves, (leaf.grad for leaf in leaves.values()))
    return {"fisher": potential.total, "snip": snip(module, found), "grad_norm": grad_norm(found)}
