"""Deliberately wrong transformations. Each is caught by the check that its test names; what a check would miss shows
here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pytest

from loopwright.errors import InvalidNestError
from loopwright.ir.affine import var
from loopwright.ir.interpreter import run
from loopwright.ir.loopnest import Loop, LoopNest, Statement
from loopwright.ir.move import move, restrict
from loopwright.ir.verify import verify, verify_completion
from loopwright.legality.dependences import judge
from loopwright.operators import parse
from loopwright.transformations import Step, Transformation
from tests.sampling import integers

NEST = parse("conv2d(co=4, ci=4, oh=4, ow=4, kh=3, kw=3)").nest()


@dataclass(frozen=True)
class Canary(Transformation):
    """A wrong step on the loop of that name."""

    loop: str

    @classmethod
    def instances(cls, statement: Statement) -> Iterator[Self]:
        yield from (cls(loop.name) for loop in statement.loops)

    def resized(self, statement: Statement, extent: int) -> list[Loop]:
        return [Loop(loop.name, extent) if loop.name == self.loop else loop for loop in statement.loops]


class DropsAnIteration(Canary):
    """Takes its loop for one iteration shorter, in the loops and the index expressions alone."""

    name: ClassVar[str] = "drop_last"

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        return [replace(statement, loops=tuple(self.resized(statement, statement.loop(self.loop).extent - 1)))]


class DropsByMoving(Canary):
    """The same, through `move`."""

    name: ClassVar[str] = "move_short"

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        return [move(statement, self.resized(statement, statement.loop(self.loop).extent - 1), {}, {})]


class Reverses(Canary):
    """Runs its loop backwards."""

    name: ClassVar[str] = "reverse"

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        last = statement.loop(self.loop).extent - 1
        backwards = {self.loop: last - var(self.loop)}
        return [move(statement, statement.loops, backwards, backwards)]


class CompletesOffByOne(Canary):
    """Keeps the first half of its loop; every point takes the one after its own."""

    name: ClassVar[str] = "next"

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        half = statement.loop(self.loop).extent // 2
        off = (var(self.loop) + 1) % half
        return [restrict(statement, self.resized(statement, half), {self.loop: var(self.loop)}, {self.loop: off})]


class DroppedOnesOffByOne(Canary):
    """The same for dropped points alone: they take the one after theirs, and the last takes one that is dropped too."""

    name: ClassVar[str] = "beyond"

    def rewrite(self, statement: Statement) -> Sequence[Statement]:
        half = statement.loop(self.loop).extent // 2
        off = var(self.loop) % half + var(self.loop) // half
        return [restrict(statement, self.resized(statement, half), {self.loop: var(self.loop)}, {self.loop: off})]


def after(canary: Canary) -> LoopNest:
    return Step(canary).apply(NEST)


@pytest.mark.parametrize("loop", ["co", "ci", "oh", "kw"])
def test_verify_finds_a_dropped_iteration(loop: str) -> None:
    with pytest.raises(InvalidNestError, match="s0: its schedule is no bijection"):
        verify(after(DropsAnIteration(loop)))


def test_move_refuses_to_drop_an_iteration() -> None:
    with pytest.raises(InvalidNestError, match="changes the number of instances"):
        after(DropsByMoving("co"))


@pytest.mark.parametrize("loop", ["ci", "kh", "kw"])
def test_the_dependence_check_finds_a_reversed_flow(loop: str) -> None:
    nest = after(Reverses(loop))
    verify(nest)
    verdict = judge(nest)
    assert not verdict.legal
    assert verdict.reason == "a flow dependence is reversed"
    assert verdict.witness is not None
    source, sink = re.findall(r"co=(\d), ci=(\d), oh=(\d), ow=(\d), kh=(\d), kw=(\d)", verdict.witness)
    assert (source[0], *source[2:4]) == (sink[0], *sink[2:4]), "both accumulate one output"
    assert (source[1], *source[4:]) == ("0", "0", "0"), "the first initialises it"


@pytest.mark.parametrize("loop", ["ci", "kh", "kw"])
def test_the_interpreter_shows_a_reversed_flow(loop: str) -> None:
    x, weight = integers(NEST, 0)
    assert not np.array_equal(run(after(Reverses(loop)), x, weight), run(NEST, x, weight))


@pytest.mark.parametrize("loop", ["co", "oh", "ow"])
def test_loops_that_carry_no_flow_may_run_backwards(loop: str) -> None:
    x, weight = integers(NEST, 0)
    nest = after(Reverses(loop))
    assert judge(nest, strict=True).legal
    assert np.array_equal(run(nest, x, weight), run(NEST, x, weight))


@pytest.mark.parametrize("loop", ["co", "oh"])
def test_verify_finds_a_completion_that_is_off_by_one(loop: str) -> None:
    nest = after(CompletesOffByOne(loop))
    with pytest.raises(InvalidNestError, match="s0: its positions are not its schedule"):
        verify(nest)
    with pytest.raises(InvalidNestError, match="the completion is wrong: .* a statement writes takes the value"):
        verify_completion(nest)


@pytest.mark.parametrize("loop", ["co", "oh"])
def test_verify_finds_dropped_outputs_that_take_dropped_ones(loop: str) -> None:
    nest = after(DroppedOnesOffByOne(loop))
    with pytest.raises(InvalidNestError, match="the completion is wrong: .* no statement writes takes the value"):
        verify(nest)
    x, weight = integers(NEST, 0)
    assert np.isnan(run(nest, x.astype(float), weight)).any()
