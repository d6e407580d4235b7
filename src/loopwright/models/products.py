"""Reading a matrix product of a traced graph as an operator: a linear layer, or a product of two activations."""

from __future__ import annotations

from math import prod

from torch import fx

from loopwright.models.reading import Reading, arguments, type_obstacle
from loopwright.models.reads import shape
from loopwright.operators.linear import Linear
from loopwright.operators.matmul import Matmul


def linear(node: fx.Node) -> Reading:
    """A linear layer: the first axis of its input is the batch, those up to the channels count tokens."""
    given = arguments(node)
    *places, ci = shape(given["input"])
    weight, obstacle = given["weight"], type_obstacle(given["input"])
    n, *tokens = places or [1]
    operator = Linear(n, shape(weight)[0], ci, prod(tokens))
    return Reading(weight.name, None if obstacle else operator, obstacle)


def matmul(node: fx.Node) -> Reading | None:
    """A product of activations (N, [heads,] rows, channels) and (N, [heads,] channels, columns); None for others."""
    x, operand = (value for value in node.args if isinstance(value, fx.Node))
    first, second = shape(x), shape(operand)
    if len(first) not in (3, 4) or first[:-2] != second[:-2] or operand.op == "placeholder":
        return None
    n, *heads, m, k = first
    obstacle = type_obstacle(x)
    return Reading(operand.name, None if obstacle else Matmul(n, prod(heads), m, second[-1], k), obstacle)
