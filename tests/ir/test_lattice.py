from __future__ import annotations

import pytest

from loopwright.ir.affine import var
from loopwright.ir.lattice import Lattice, LatticeDim, NotALatticeError, apart, count_union, join, join_all


def line(offset: int, extent: int, step: int = 1) -> Lattice:
    return Lattice((offset,), (LatticeDim(extent, (step,)),) if extent > 1 else ())


def test_program_transformations_cancel_out() -> None:
    fused = {"a": var("ab") // 6, "b": var("ab") % 6}
    split = {name: e.substitute({"ab": var("x") * 12 + var("y")}) for name, e in fused.items()}
    plain = Lattice.of({"a": var("a"), "b": var("b")}, {"a": 4, "b": 6}, ("a", "b"))
    assert Lattice.of(fused, {"ab": 24}, ("a", "b")) == plain
    assert Lattice.of(split, {"x": 2, "y": 12}, ("a", "b")) == plain


def test_a_loop_that_cuts_across_iterators_is_no_lattice() -> None:
    index = {"a": (var("x") * 4 + var("y")) // 3, "b": (var("x") * 4 + var("y")) % 3}
    with pytest.raises(NotALatticeError, match="a = "):
        Lattice.of(index, {"x": 3, "y": 4}, ("a", "b"))


def test_pieces_join_end_to_end_and_interleaved() -> None:
    assert join(line(0, 4), line(4, 2)) == line(0, 6)
    assert join(line(0, 4, 2), line(1, 4, 2)) == line(0, 8)
    assert join(line(0, 1), line(1, 3)) == line(0, 4)
    assert join(line(0, 4), line(5, 2)) is None


def test_joining_goes_on_while_it_can() -> None:
    assert join_all([line(6, 2), line(0, 4), line(4, 2)]) == [line(0, 8)]


def test_unions_are_counted_once() -> None:
    assert count_union([line(0, 4), line(4, 4)]) == 8
    assert count_union([line(0, 4), line(2, 4)]) == 6
    assert count_union([line(0, 4), line(0, 4)]) == 4


def test_flat_numbers_are_row_major() -> None:
    lattice = Lattice((1, 0), (LatticeDim(2, (1, 0)), LatticeDim(3, (0, 2))))
    assert lattice.flat((4, 6)).tolist() == [[6, 8, 10], [12, 14, 16]]


def test_lattices_of_other_residues_are_apart() -> None:
    even, odd = (Lattice((start, 0), (LatticeDim(4, (2, 0)), LatticeDim(3, (0, 1)))) for start in (0, 1))
    assert apart(even, odd, 1)
    assert not apart(even, Lattice((2, 2), ()), 2)
    assert count_union([even, odd]) == even.size + odd.size
