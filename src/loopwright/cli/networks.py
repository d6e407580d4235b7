"""From MODEL on the command line to a traced network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loopwright.models.network import Network


def traced(model: str, input_shape: tuple[int, ...] | None, seed: int = 0) -> Network:
    """The network that ``model`` names, initialised from ``seed`` and traced.

    Raises ArgumentError or TraceError.
    """
    from loopwright.models.resolve import resolve

    source = resolve(model, input_shape)
    import torch

    from loopwright.models.trace import trace

    return trace(source.build(seed), torch.zeros(source.input_shape), source.name)
