"""Operators small enough for the interpreter, and random nests made of them."""

from __future__ import annotations

import random

import numpy as np

from loopwright.errors import NotApplicableError
from loopwright.ir.loopnest import LoopNest
from loopwright.legality.dependences import judge
from loopwright.operators import Operator, parse
from loopwright.transformations import Step, registered

OPERATORS = (
    "conv2d(co=4, ci=4, oh=4, ow=4, kh=3, kw=3)",
    "conv2d(co=8, ci=4, oh=4, ow=4)",
    "conv2d(co=4, ci=4, oh=3, ow=3, kh=3, kw=3, stride=2)",
    "conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3, groups=2)",
    "conv2d(co=4, ci=2, oh=4, ow=4, kh=5, kw=5)",
    "conv2d(n=2, co=4, ci=4, oh=4, ow=4, kh=3, kw=3)",
    "conv2d(co=6, ci=3, oh=4, ow=2, kh=3, kw=1, dilation=2)",
    "conv2d(co=4, ci=4, oh=4, ow=2, kh=2, kw=2, stride=2x1, padding=0)",
    "conv1d(co=4, ci=4, ow=8, kw=3, stride=2)",
    "conv1d(n=2, co=8, ci=4, ow=6, kw=4, dilation=2, groups=2)",
    "conv3d(co=4, ci=2, od=2, oh=4, ow=2, kd=3, kh=2, kw=2, stride=1x2x1)",
    "conv3d(n=2, co=4, ci=4, od=4, oh=2, ow=2, kd=2, padding=0, groups=2)",
    "conv_transpose2d(co=4, ci=4, oh=8, ow=8, kh=4, kw=4, stride=2)",
    "conv_transpose2d(n=2, co=4, ci=2, oh=7, ow=4, kh=3, kw=3, stride=2x1, groups=2)",
    "linear(co=8, ci=4, tokens=4)",
    "linear(n=2, co=4, ci=8)",
    "matmul(h=2, m=4, p=4, k=4)",
    "matmul(n=2, h=4, m=2, p=6, k=4)",
)


def random_nest(operator: Operator, rng: random.Random, steps: int, *, legal: bool = False) -> LoopNest:
    """The operator's nest after up to ``steps`` random steps; steps that turn out not to fit are left out, and so are,
    with ``legal``, those that reverse or race a dependence."""
    nest, transformations = operator.nest(), list(registered().values())
    for _ in range(rng.randint(0, steps)):
        statement = rng.choice(nest.statements)
        instances = list(rng.choice(transformations).instances(statement))
        if instances:
            step = Step(rng.choice(instances), statement.name if len(nest.statements) > 1 else None)
            try:
                stepped = step.apply(nest)
            except NotApplicableError:
                continue
            nest = stepped if not legal or judge(stepped).legal else nest
    return nest


def random_operator(rng: random.Random) -> Operator:
    return parse(rng.choice(OPERATORS))


def integers(nest: LoopNest, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Small integer input and weight, for exact comparisons."""
    random_values = np.random.default_rng(seed)
    shapes = nest.computation.input.shape, nest.weight.shape
    return tuple(random_values.integers(-4, 5, shape) for shape in shapes)  # type: ignore[return-value]
