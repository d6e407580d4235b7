"""Refusals name the step, what is wrong, and what would be right; the nest comes as the error's note."""

from __future__ import annotations

import ast
import re
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import loopwright
from loopwright.errors import NotApplicableError
from loopwright.ir.loopnest import LoopNest
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from loopwright.transformations.recipes import RECIPES

NEST = parse("conv2d(n=2, co=8, ci=6, oh=4, ow=4, kh=3, kw=3)").nest()
SEQUENCES = (
    (
        "split(oh, 3)",
        "split(oh, 3) does not apply: 3 does not divide the 4 iterations of loop 'oh' (factors that do: 2, 4)",
    ),
    ("split(rows, 2)", "s0 has no loop 'rows'; its loops are n, co, ci, oh, ow, kh, kw"),
    ("on s1: split(oh, 2)", "the nest has no statement 's1'; its statements are s0"),
    ("fuse(co, oh)", "loop 'oh' is not directly inside 'co' (order: n, co, ci, oh, ow, kh, kw); reorder first"),
    ("partition(co, 8)", "points must rise and lie between 1 and 7, within loop 'co'"),
    ("partition(co, 4, 2)", "points must rise and lie between 1 and 7"),
    ("unroll(kw, 4)", "loop 'kw' has 3 iterations, fewer than 4"),
    ("group(co, ci, 4)", "4 does not divide the 6 iterations of loop 'ci' (factors that do: 2, 3, 6)"),
    ("depthwise(co, ci)", "loops 'co' (8) and 'ci' (6) must have equal extents"),
    ("bottleneck(kh, 2)", "2 does not divide the 3 iterations of loop 'kh' (factors that do: 3)"),
    ("bottleneck(n, 2)", "loop 'n' runs over the batch; a network must treat all images alike"),
    ("partition(n, 1) -> on s0: bottleneck(co, 2)", "s0 holds a part of the batch"),
    ("fuse(co, ci) -> bottleneck(co_ci, 2)", "runs over outputs (co) and over a reduction (ci) at once; split it"),
    ("tile(oh: 2, rows: 2)", "s0 has no loop 'rows'"),
    (
        "drop()",
        "no other statement writes all the outputs of s0; drop one piece of a partitioned reduction by its name (on s0",
    ),
    ("partition(co, 4) -> on s1: drop()", "no other statement writes all the outputs of s1; drop one piece"),
    ("partition(ci, 2) -> on s0: partition(n, 1) -> on s0: drop()", "s0 holds a part of the batch"),
    ("untie(co)", "loop 'co' have weights of their own already, for it runs over co; untie a loop over rows or"),
    ("partition(n, 1) -> on s0: untie(oh)", "s0 holds a part of the batch; a network must treat all images alike"),
    ("untie(oh) -> untie(oh)", "loop 'oh' is untied already; leave out one of the two"),
    ("partition(ci, 2) -> drop()", "by its name (on s0: drop())"),
    ("group(oh, ow, 2, complete=project)", "there are no output channels to project over 'oh' and 'ow'; leave out"),
    ("partition(oh, 1) -> on s0: partition(oh, 1)", "loop 'oh' has one iteration and can't be cut; name another loop"),
    ("fuse(co, ci) -> untie(co_ci)", "the step unties loop 'co_ci', which runs over outputs (co) and over a reduction"),
    ("untie(n)", "loop 'n' runs over the batch; a network must treat all images alike"),
    (
        "bottleneck(ci, 2, complete=project)",
        "there are no output channels to project over 'ci'; leave out complete=project",
    ),
    (
        "bottleneck(co, 2, complete=project) -> group(co, ci, 2, complete=project)",
        "the outputs are a learned projection already; say complete=project once",
    ),
    (
        "partition(co, 2, 4) -> on s1: partition(co, 1) -> on s1: bottleneck(oh, 2) -> "
        "on s0: bottleneck(co, 2) -> on s3: bottleneck(co, 4, complete=project)",
        "a projection reads evenly spaced channels, and this nest writes 0, 2, 3, 4; take other channels (keep=s",
    ),
    (
        "fuse(oh, ow) -> partition(oh_ow, 2)",
        "a loop cuts across an iterator (oh = (oh_ow + 2)//4, ow = (oh_ow + 2) % 4); take this step",
    ),
    (
        "vectorize(co)",
        "a vectorized loop must be the innermost, and 'co' is not (order: n, co, ci, oh, ow, kh, kw); reorder so",
    ),
    ("vectorize(kw) -> reorder(kw, kh)", "a vectorized loop must be the innermost, and 'kw' is not (order: n, co"),
    ("parallel(co) -> bind(co, blockIdx.x)", "loop 'co' of s0 is parallel already; a loop has one mark: leave out"),
    ("parallel(co) -> unroll(co, 2)", "loop 'co' of s0 is parallel already; a loop has one mark"),
    (
        "parallel(co) -> parallel(oh)",
        "loop 'co' of s0 is parallel already, and a statement has one such loop; fuse",
    ),
    (
        "bind(co, threadIdx.x) -> bind(oh, threadIdx.x)",
        "loop 'co' of s0 is threadIdx.x already, and a statement has one such loop; fuse the two before marking",
    ),
    ("prefetch(input, ci) -> prefetch(input, co)", "input is prefetched at loop 'ci' of s0 already; leave out one"),
    ("vectorize(kw) -> prefetch(input, kw)", "loop 'kw' can't both be vectorized and prefetch; prefetch at a loop"),
    ("prefetch(weight, kw) -> vectorize(kw)", "loop 'kw' can't both be vectorized and prefetch"),
    (
        "fuse(oh, ow) -> split(oh_ow, 8) -> fuse(ci, oh_ow_outer) -> split(ci_oh_ow_outer, 3) -> "
        "prefetch(input, ci_oh_ow_outer_outer)",
        "iterations read parts of different shapes, because a loop cuts across an iterator (",
    ),
    (
        "rfactor(co)",
        "loop 'co' of s0 sums up nothing, so that there is nothing to factor; its reductions are ci, kh, kw",
    ),
    ("rfactor(ci) -> rfactor(ci)", "loop 'ci' of s0 is rfactored already; leave out one of the two"),
    ("rfactor(ci) -> split(ci, 2)", "loop 'ci' of s0 is marked (rfactored) and can't be changed any more"),
    ("vectorize(rows)", "s0 has no loop 'rows'; its loops are n, co, ci, oh, ow, kh, kw"),
    ("prefetch(input, rows)", "s0 has no loop 'rows'"),
    (
        "parallel(co) -> split(co, 2)",
        "loop 'co' of s0 is marked (parallel) and can't be changed any more; take this step before the mark",
    ),
    ("bind(ci, vthread) -> fuse(co, ci)", "loop 'ci' of s0 is marked (vthread) and can't be changed any more"),
    ("prefetch(weight, co) -> tile(co: 2, ci: 2)", "loop 'co' of s0 is marked (prefetches weight) and can't be"),
    ("parallel(co) -> bottleneck(co, 2)", "loop 'co' of s0 is marked (parallel) and can't be changed any more"),
    ("parallel(ci) -> group(co, ci, 2)", "loop 'ci' of s0 is marked (parallel) and can't be changed any more"),
)
STEPS = (
    (
        parse("matmul(h=2, m=4, p=4, k=4)").nest(),
        "untie(m)",
        "both factors are inputs, so there are no weights to untie",
    ),
    (NEST, "prefetch(operand, co)", "s0 reads no operand; it reads input and weight"),
    (NEST, "group(oh, co, 2)", "'oh' and 'co' are not the two outermost loops; reorder first"),
    (NEST, "bottleneck(ci, 2)", "'ci' is not the outermost loop; reorder first"),
)
RECIPE_REFUSALS = (
    ("linear(co=8, ci=8, tokens=4)", "spatial_bottleneck", 2, "spatial_bottleneck needs a loop 'ow'; linear(co=8"),
    (
        "linear(co=8, ci=8, tokens=4)",
        "spatial_group",
        2,
        "spatial_group needs a loop 'oh'; linear(co=8, ci=8, tokens=4)",
    ),
    ("conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3)", "isolated_strips", 1, "strips of 4 rows are too narrow"),
    ("conv2d(co=4, ci=5, oh=4, ow=4, kh=3, kw=3)", "ghost", 2, "the input channels have no factor in common; take"),
    ("conv2d(co=8, ci=8, oh=4, ow=4)", "pointwise", 1, "the kernel has one row or one column already, so there is"),
)


@pytest.mark.parametrize(("sequence", "message"), SEQUENCES)
def test_wording(sequence: str, message: str) -> None:
    with pytest.raises(NotApplicableError) as refusal:
        TransformationSequence.parse(sequence).apply(NEST)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "for kh in" in refusal.value.__notes__[0]


@pytest.mark.parametrize(("nest", "step", "message"), STEPS)
def test_wording_where_a_step_is_taken_as_it_stands(nest: LoopNest, step: str, message: str) -> None:
    with pytest.raises(NotApplicableError, match=re.escape(message)):
        take(nest, step)


@pytest.mark.parametrize(("operator", "recipe", "factor", "message"), RECIPE_REFUSALS)
def test_wording_of_recipes(operator: str, recipe: str, factor: int, message: str) -> None:
    with pytest.raises(NotApplicableError, match=re.escape(message)):
        RECIPES[recipe].sequence(parse(operator).nest(), factor)


def take(nest: LoopNest, step: str) -> None:
    """Takes a step without spelling it out."""
    (only,) = TransformationSequence.parse(step)
    only.transformation.apply(nest, nest.statements[0], step)


def test_no_refusal_is_left_out() -> None:
    """Every place that refuses a step is reached by a case above."""
    attempts: list[Callable[[], object]] = [
        *(partial(TransformationSequence.parse(sequence).apply, NEST) for sequence, _ in SEQUENCES),
        *(partial(take, nest, step) for nest, step, _ in STEPS),
        *(partial(RECIPES[name].sequence, parse(text).nest(), factor) for text, name, factor, _ in RECIPE_REFUSALS),
    ]
    reached = {place for attempt in attempts for place in raised_at(attempt)}
    unreached = [
        f"{file}:{lines.start}" for file, lines in refusals() if not any((file, line) in reached for line in lines)
    ]
    assert unreached == []


def raised_at(attempt: Callable[[], object]) -> Iterator[tuple[str, int]]:
    """The places of the refusal and of those that caused it."""
    with pytest.raises(NotApplicableError) as refusal:
        attempt()
    error: BaseException | None = refusal.value
    while error is not None:
        yield from ((frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__))
        error = error.__cause__ or error.__context__


def refusals() -> Iterator[tuple[str, range]]:
    """The files and lines of all ``raise NotApplicableError(...)`` in the algebra."""
    root = Path(loopwright.__file__).parent
    for path in sorted([*(root / "ir").rglob("*.py"), *(root / "transformations").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and ast.unparse(node).startswith("raise NotApplicableError("):
                yield str(path), range(node.lineno, (node.end_lineno or node.lineno) + 1)
