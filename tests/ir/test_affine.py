from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loopwright.ir.affine import Affine, constant, var

NAMES = ("a", "b", "c")
EXTENTS = {"a": 4, "b": 6, "c": 3}


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> Affine:
    if depth == 0 or draw(st.booleans()):
        return var(draw(st.sampled_from(NAMES))) * draw(st.integers(-4, 12)) + draw(st.integers(-6, 6))
    inner = draw(expressions(depth=depth - 1))
    kind = draw(st.sampled_from(("sum", "quotient", "remainder", "minimum")))
    if kind == "sum":
        return inner + draw(expressions(depth=depth - 1))
    size = draw(st.integers(1, 8))
    return {"quotient": inner // size, "remainder": inner % size, "minimum": inner.minimum(size)}[kind]


points = st.fixed_dictionaries({name: st.integers(0, extent - 1) for name, extent in EXTENTS.items()})


@given(expressions(), points)
def test_simplified_expressions_keep_their_value(expression: Affine, point: dict[str, int]) -> None:
    assert expression.simplify(EXTENTS).evaluate(point) == expression.evaluate(point)


@given(expressions(), points)
def test_printed_expressions_evaluate_to_the_same(expression: Affine, point: dict[str, int]) -> None:
    assert eval(str(expression), {"min": min, **point}) == expression.evaluate(point)


@given(expressions(), points)
def test_bounds_hold(expression: Affine, point: dict[str, int]) -> None:
    low, high = expression.bounds(EXTENTS)
    assert low <= expression.evaluate(point) <= high


@given(expressions(), expressions(), points)
def test_substitution_commutes_with_evaluation(outer: Affine, inner: Affine, point: dict[str, int]) -> None:
    replaced = outer.substitute({"a": inner}).evaluate(point)
    assert replaced == outer.evaluate({**point, "a": inner.evaluate(point)})


def test_equal_expressions_are_equal_values() -> None:
    assert var("a") + var("b") == var("b") + var("a")
    assert (var("a") * 4 + var("b")) // 4 == var("a") + var("b") // 4
    assert var("a") - var("a") == constant(0)
    assert hash(var("a") % 4) == hash(var("a") - (var("a") // 4) * 4)


def test_ranges_decide_divisions() -> None:
    extents = {"g": 4, "co": 16}
    joined = var("g") * 16 + var("co")
    assert (joined // 16).simplify(extents) == var("g")
    assert (joined % 16).simplify(extents) == var("co")
    assert (joined // 32).simplify(extents) == var("g") // 2
    assert var("co").minimum(15).simplify(extents) == var("co")


def test_remainders_print_as_such() -> None:
    assert str(var("a") % 4 + var("b") * 8) == "a % 4 + 8*b"
