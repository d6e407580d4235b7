"""What is common to reading the calls of a traced graph as operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

from loopwright.operators import Operator


@dataclass(frozen=True)
class Reading:
    """The operator that a call computes, or the obstacle that keeps it from being a loop nest; and the node of its
    weight (of a product of two activations, of the second one)."""

    weight: str
    operator: Operator | None
    obstacle: str = ""


def arguments(node: fx.Node) -> dict[str, Any]:
    """All arguments by name, in the operation's order, defaults included."""
    assert isinstance(node.target, OpOverload)
    schema = node.target._schema.arguments
    given = {argument.name: value for argument, value in zip(schema, node.args, strict=False)} | node.kwargs
    return {argument.name: given.get(argument.name, argument.default_value) for argument in schema}


def type_obstacle(node: fx.Node) -> str:
    """Why a tensor's numbers are none that loop nests compute with; empty if they are."""
    dtype = node.meta["val"].dtype
    return "" if dtype == torch.float32 else f"its input is {str(dtype).removeprefix('torch.')}, not float32"
