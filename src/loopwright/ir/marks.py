"""How loops run: the marks that a loop may carry, the tiles that it prefetches, whether its iterations have partial
results of their own, and what all of these ask of later steps.

A mark changes neither what is computed nor the order in which the instances are numbered, so nothing here touches a
schedule. Whether a loop *may* run as its mark says is a matter of legality (`loopwright.ir.dependences`).
"""

from __future__ import annotations

from dataclasses import replace

from loopwright.errors import NotApplicableError
from loopwright.ir.loopnest import Loop, Statement
from loopwright.ir.tile import tile

UNROLLED = "unrolled"
VECTORIZED = "vectorized"
PARALLEL = "parallel"
BLOCK_AXES = ("blockIdx.x", "blockIdx.y", "blockIdx.z")
THREAD_AXES = ("threadIdx.x", "threadIdx.y", "threadIdx.z")
VTHREAD = "vthread"
AXES = (*BLOCK_AXES, *THREAD_AXES, VTHREAD)
CONCURRENT = (VECTORIZED, PARALLEL, *AXES)
"""Marks under which a loop's iterations run at the same time."""

_ONCE = (PARALLEL, *BLOCK_AXES, *THREAD_AXES)


def mark(statement: Statement, name: str, how: str) -> Statement:
    """The statement with loop ``name`` marked ``how``.

    Raises `NotApplicableError` where the loop has a mark, where another loop has one that a statement has once, and
    for a vectorized loop that is not the innermost or prefetches.
    """
    loop = statement.loop(name)
    if loop.mark:
        raise NotApplicableError(
            f"loop {name!r} of {statement.name} is {loop.mark} already; a loop has one mark: leave out one of the two"
        )
    holder = next((other for other in statement.loops if other.mark == how), None)
    if how in _ONCE and holder is not None:
        raise NotApplicableError(
            f"loop {holder.name!r} of {statement.name} is {how} already, and a statement has one such loop; "
            f"fuse the two before marking"
        )
    marked = _with(statement, replace(loop, mark=how))
    _require_vectorized_innermost(marked)
    return marked


def prefetch(statement: Statement, tensor: str, name: str) -> Statement:
    """The statement in which every iteration of loop ``name`` first copies the tile of ``tensor`` that it reads.

    Raises `NotApplicableError` where the tensor is prefetched already, the loop is vectorized, or the tiles differ in
    shape.
    """
    loop = statement.loop(name)
    holder = next((other for other in statement.loops if tensor in other.prefetched), None)
    if holder is not None:
        raise NotApplicableError(
            f"{tensor} is prefetched at loop {holder.name!r} of {statement.name} already; leave out one of the two"
        )
    marked = _with(statement, replace(loop, prefetched=(*loop.prefetched, tensor)))
    _require_vectorized_innermost(marked)
    _require_tiles(marked)
    return marked


def rfactor(statement: Statement, name: str) -> Statement:
    """The statement in which every iteration of the reduction loop ``name`` has partial results of its own.

    Raises `NotApplicableError` for a loop that is no reduction, and for one that has them already.
    """
    loop = statement.loop(name)
    if statement.kind(name) != "reduction":
        reductions = [own.name for own in statement.loops if statement.kind(own.name) == "reduction"]
        raise NotApplicableError(
            f"loop {name!r} of {statement.name} sums up nothing, so that there is nothing to factor; "
            f"its reductions are {', '.join(reductions) or 'none'}"
        )
    if loop.rfactored:
        raise NotApplicableError(f"loop {name!r} of {statement.name} is rfactored already; leave out one of the two")
    return _with(statement, replace(loop, rfactored=True))


def described(loop: Loop) -> str:
    """The loop's marks as text, ``unrolled, prefetches input``; empty for a loop without."""
    fetches = f"prefetches {' and '.join(loop.prefetched)}" if loop.prefetched else ""
    return ", ".join(filter(None, (loop.mark, "rfactored" if loop.rfactored else "", fetches)))


def pinned(loop: Loop) -> str:
    """Those marks that keep later steps from changing the loop, as text: it can't be split, fused or restricted, while
    `partition` gives its marks to every piece. An unrolled loop may be changed, and is not unrolled any more then."""
    return described(replace(loop, mark="") if loop.mark == UNROLLED else loop)


def require_kept(before: Statement, after: Statement) -> None:
    """Raises `NotApplicableError` where a step took a marked loop apart, moved a vectorized one away from the inside,
    or made the tiles that are prefetched differ in shape."""
    loops = {loop.name: loop for loop in after.loops}
    for loop in before.loops:
        kept = loops.get(loop.name)
        if pinned(loop) and (kept is None or described(kept) != described(loop)):
            raise NotApplicableError(
                f"loop {loop.name!r} of {before.name} is marked ({described(loop)}) and can't be changed any more; "
                f"take this step before the mark"
            )
    _require_vectorized_innermost(after)
    _require_tiles(after)


def _require_tiles(statement: Statement) -> None:
    for loop in statement.loops:
        for tensor in loop.prefetched:
            tile(statement, tensor, loop.name)


def _require_vectorized_innermost(statement: Statement) -> None:
    order = ", ".join(statement.extents)
    for loop in statement.loops:
        if loop.mark == VECTORIZED and loop is not statement.loops[-1]:
            raise NotApplicableError(
                f"a vectorized loop must be the innermost, and {loop.name!r} is not (order: {order}); "
                f"reorder so that it comes last, then vectorize"
            )
        if loop.mark == VECTORIZED and loop.prefetched:
            raise NotApplicableError(
                f"loop {loop.name!r} can't both be vectorized and prefetch; prefetch at a loop outside of it ({order})"
            )


def _with(statement: Statement, changed: Loop) -> Statement:
    loops = tuple(changed if loop.name == changed.name else loop for loop in statement.loops)
    return replace(statement, loops=loops)
