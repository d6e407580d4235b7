"""Reading a matrix product of a traced graph as an operator: a linear layer, or a product of two activations."""

from __future__ import annotations

from math import prod

from torch import fx

from loopwright.models.reading import Reading, arguments, shape, type_obstacle
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
    """A product of two tensors with the same batch and, before rows and columns, the same heads (or none); None for
    other products."""
    x, operand = (value for value in node.args if isinstance(value, fx.Node))
    (*batch, m, k), (*others, _, p) = ((1, 1, *shape(value)) for value in (x, operand))
    n, *heads = batch[2:] or [0]
    if n == 0 or len(heads) > 1 or others != batch:
        return None
    obstacle = type_obstacle(x)
    return Reading(operand.name, None if obstacle else Matmul(n, prod(heads), m, p, k), obstacle)
