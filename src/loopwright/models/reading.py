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


def kind(node: fx.Node) -> str:
    """The name of the operation that the node calls, without overload or in-place mark."""
    return _overload(node).name().partition("::")[2].partition(".")[0].rstrip("_")


def arguments(node: fx.Node) -> dict[str, Any]:
    """All arguments by name, in the operation's order, defaults included."""
    schema = _overload(node)._schema.arguments
    given = {argument.name: value for argument, value in zip(schema, node.args, strict=False)} | node.kwargs
    return {argument.name: given.get(argument.name, argument.default_value) for argument in schema}


def shape(node: fx.Node) -> tuple[int, ...]:
    """The shape of the tensor that the node stands for."""
    return tuple(int(size) for size in node.meta["val"].shape)


def type_obstacle(node: fx.Node) -> str:
    """Why a tensor's numbers are none that loop nests compute with; empty if they are."""
    dtype = node.meta["val"].dtype
    return "" if dtype == torch.float32 else f"its input is {str(dtype).removeprefix('torch.')}, not float32"


def _overload(node: fx.Node) -> OpOverload:
    assert isinstance(node.target, OpOverload)
    return node.target
