"""Every kind of breach is caught: each canary is a wrong transformation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loopwright.errors import InvalidNestError
from loopwright.ir.affine import constant, var
from loopwright.ir.loopnest import Loop, LoopNest, Statement
from loopwright.ir.move import move, restrict
from loopwright.ir.verify import verify
from loopwright.operators import parse

OPERATOR = parse("conv2d(co=4, ci=4, oh=4, ow=4, kh=3, kw=3)")


def nest_of(*statements: Statement) -> LoopNest:
    return LoopNest(OPERATOR.computation(), statements)


def statement() -> Statement:
    return OPERATOR.nest().statements[0]


def shortened(extent: int) -> list[Loop]:
    return [replace(loop, extent=extent) if loop.name == "co" else loop for loop in statement().loops]


def test_the_untransformed_nest_is_valid() -> None:
    verify(OPERATOR.nest())


def test_a_move_that_drops_an_iteration_is_refused() -> None:
    with pytest.raises(InvalidNestError, match="changes the number of instances"):
        move(statement(), shortened(3), {}, {})


def test_a_section_that_visits_an_instance_twice_is_caught() -> None:
    broken = replace(statement(), index={**statement().index, "co": var("co") // 2})
    with pytest.raises(InvalidNestError, match="index expressions are not its schedule"):
        verify(nest_of(broken))


def test_a_move_that_leaves_gaps_is_caught() -> None:
    loops = [Loop("co", 4) if loop.name == "co" else loop for loop in statement().loops]
    broken = move(statement(), loops, {"co": var("co") * 2}, {"co": var("co") // 2})
    with pytest.raises(InvalidNestError, match="no bijection"):
        verify(nest_of(broken))


def test_a_completion_that_is_off_by_one_is_caught() -> None:
    broken = restrict(statement(), shortened(2), {"co": var("co")}, {"co": (var("co") + 1) % 2})
    with pytest.raises(InvalidNestError, match="positions are not its schedule"):
        verify(nest_of(broken))


def test_a_wrong_lattice_is_caught() -> None:
    lattice = replace(statement().lattice, offset=(1, *statement().lattice.offset[1:]))
    with pytest.raises(InvalidNestError, match="lattice is not its domain"):
        verify(nest_of(replace(statement(), lattice=lattice)))


def test_an_instance_that_runs_twice_is_caught() -> None:
    with pytest.raises(InvalidNestError, match="execute the same statement instance"):
        verify(nest_of(statement(), replace(statement(), name="s1")))


def test_a_constant_position_is_caught() -> None:
    broken = replace(statement(), position={**statement().position, "kh": constant(0)})
    with pytest.raises(InvalidNestError, match="positions"):
        verify(nest_of(broken))
