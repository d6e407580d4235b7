from __future__ import annotations

import random

import pytest

from loopwright.errors import ArgumentError, ParseError
from loopwright.ir.verify import verify
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence, registered
from tests.sampling import random_nest, random_operator

NEST = parse("conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)").nest()


def test_all_transformations_register_by_file() -> None:
    program = {"reorder", "split", "tile", "fuse", "partition", "unroll"}
    neural = {"group", "bottleneck", "depthwise", "untie", "drop"}
    marks = {"vectorize", "parallel", "prefetch", "bind", "rfactor"}
    assert registered().keys() == program | neural | marks
    assert {name for name, transformation in registered().items() if transformation.marks} == marks
    assert {name for name, transformation in registered().items() if transformation.neural} == neural


@pytest.mark.parametrize(
    "text",
    [
        "identity",
        "reorder(ci, co)",
        "split(oh, 16) -> reorder(oh_outer, co) -> group(oh_outer, co, 2)",
        "unroll(co, 16) -> on s1: group(co, ci, 2)",
        "partition(co, 16, 32) -> on s2: bottleneck(oh, 2, keep=prefix)",
        "tile(oh: 4, ow: 8)",
        "depthwise(co, ci)",
        "bind(co, blockIdx.x) -> bind(oh, threadIdx.x) -> prefetch(input, ci) -> vectorize(kw)",
    ],
)
def test_printing_inverts_parsing(text: str) -> None:
    sequence = TransformationSequence.parse(text)
    assert str(sequence) == text
    assert TransformationSequence.parse(str(sequence)) == sequence


def test_separators_and_spaces_are_free() -> None:
    loose = "split( oh,16 );  reorder(oh_outer,co)\n on s0 : group(oh_outer , co, 2)"
    assert str(TransformationSequence.parse(loose)) == (
        "split(oh, 16) -> reorder(oh_outer, co) -> on s0: group(oh_outer, co, 2)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group(co, ci 2)", "expected ',' or ')' at character 14: group(co, ci »2)"),
        ("split(oh, 16) -> ", "expected a name at character 18: split(oh, 16) -> »"),
        ("split(oh, 16) group(co, ci, 2)", "expected nothing more at character 15"),
        ("split oh", "expected '(' after 'split' at character 7"),
        ("split(oh, 1.5)", "expected ',' or ')' at character 12"),
        (
            "bottleneck(ci)",
            "bottleneck(ci) does not fit bottleneck(loop, factor, keep=..., complete=...) at character 1",
        ),
        ("bottleneck(ci, 2, hold=prefix)", "does not fit bottleneck(loop, factor, keep=..., complete=...)"),
        ("bottleneck(ci, 2, keep=prefix, keep=stride)", "keep is given twice at character 37"),
        ("fuse(co, co)", "fuse(outer, inner) needs two different loops, not 'co' twice"),
        ("depthwise(co, co)", "needs two different loops, not 'co' twice"),
        ("bottleneck(ci, 2, keep=first)", "keep=first is unknown; known: prefix, stride, centre"),
        ("split(oh, 1)", "1 is no factor; an integer of at least 2 is needed"),
        ("split(4, 2)", "4 is no name of a loop"),
        ("reorder(co)", "needs two or more different loops, not co"),
        ("group(co, co, 2)", "needs two different loops, not 'co' twice"),
        ("partition(co)", "needs one or more integers, the points of the cuts"),
        ("bind(co, threadIdx.w)", "unknown axis 'threadIdx.w'; known: blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x"),
        ("bind(co, 4)", "unknown axis 4; known: blockIdx.x"),
        ("prefetch(output, co)", "'output' can't be prefetched; known: input, weight"),
        ("vectorize(4)", "4 is no name of a loop"),
    ],
)
def test_what_does_not_parse_is_told_with_the_place(text: str, message: str) -> None:
    with pytest.raises(ParseError) as error:
        TransformationSequence.parse(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_transformations_are_told_with_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match="unknown transformation 'grup'; known: .*bottleneck, .*group"):
        TransformationSequence.parse("grup(co, ci, 2)")


def test_canonical_sequences_spell_everything_out() -> None:
    short = TransformationSequence.parse("bottleneck(ci, 2, keep=prefix) -> depthwise(oh, ow)")
    canonical = short.canonical(NEST)
    assert str(canonical) == ("reorder(ci, co) -> bottleneck(ci, 2) -> reorder(oh, ow, ci, co) -> group(oh, ow, 32)")
    assert canonical.canonical(NEST) == canonical


@pytest.mark.parametrize("seed", range(30))
def test_a_nest_is_its_steps(seed: int) -> None:
    """What a nest remembers derives it again, loop for loop."""
    rng = random.Random(seed)
    operator = random_operator(rng)
    nest = random_nest(operator, rng, 6)
    again = TransformationSequence.parse(" -> ".join(nest.steps)).apply(operator.nest())
    assert again.steps == nest.steps
    assert [s.loops for s in again.statements] == [s.loops for s in nest.statements]
    assert [s.index for s in again.statements] == [s.index for s in nest.statements]


def test_a_step_without_statement_goes_to_all_of_them() -> None:
    nest = TransformationSequence.parse("partition(co, 16) -> partition(ci, 32) -> split(oh, 8)").apply(NEST)
    assert [statement.name for statement in nest.statements] == ["s0", "s1", "s2", "s3"]
    assert all("oh_outer" in statement.extents for statement in nest.statements)
    assert nest.parent is not None
    assert "oh_outer" in nest.parent.statements[3].extents
    assert "oh_outer" not in nest.parent.statements[0].extents


def test_line_ends_around_a_sequence_do_not_matter() -> None:
    assert str(TransformationSequence.parse("\nsplit(co, 2)\nsplit(ci, 2)\n")) == "split(co, 2) -> split(ci, 2)"


def test_new_loops_have_names_of_their_own() -> None:
    sequence = "group(co, ci, 4) -> split(g, 2) -> group(co, ci, 2) -> split(g, 2)"
    nest = TransformationSequence.parse(sequence).apply(parse("conv2d(co=8, ci=8, oh=4, ow=4, kh=3, kw=3)").nest())
    verify(nest)
    names = [loop.name for loop in nest.statements[0].loops]
    assert names[1:5] == ["g_outer2", "g_inner2", "co", "ci"]
    assert len(set(names)) == len(names)


def test_all_statements_share_one_projection() -> None:
    nest = parse("conv_transpose2d(co=8, ci=8, oh=8, ow=8, kh=4, kw=4, stride=2)").nest()
    after = TransformationSequence.parse("bottleneck(co, 2, complete=project)").apply(nest)
    assert after.projection is not None
    assert after.projection.count == 4
    assert after.macs == nest.macs // 2 + 8 * 4 * 64
    assert TransformationSequence.parse(" -> ".join(after.steps)).apply(nest).macs == after.macs
