"""Feasibility: what the marks of a nest ask of a target, against the target's limits."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from loopwright.ir.loopnest import LoopNest, Statement
from loopwright.ir.marks import AXES, BLOCK_AXES, PARALLEL, THREAD_AXES, VECTORIZED, VTHREAD
from loopwright.ir.tile import tile
from loopwright.legality.verdict import Verdict
from loopwright.targets.target import GpuLimits, Target

CHECK = "limits"


def feasible(nest: LoopNest, target: Target) -> Verdict:
    """Whether the target can run the nest as its loops are marked; of several reasons against it, the first.

    ``scores`` has what the most demanding statement asks for: threads of a block, bytes of prefetched tiles.
    """
    reasons = [reason for statement in nest.statements for reason in _reasons(statement, target)]
    scores = {
        "threads": max(map(threads_per_block, nest.statements)),
        "tile_bytes": max(map(tile_bytes, nest.statements)),
    }
    return Verdict(not reasons, CHECK, reasons[0] if reasons else f"fits {target.name}", scores=scores)


def threads_per_block(statement: Statement) -> int:
    """The product of the extents that are bound to threads."""
    return prod(loop.extent for loop in statement.loops if loop.mark in THREAD_AXES)


def tile_bytes(statement: Statement) -> int:
    """Bytes of all tiles that are in use at once in a block; inside of loops that are bound to threads, virtual ones
    included, every thread has a tile of its own."""
    total, copies = 0, 1
    for loop in statement.loops:
        copies *= loop.extent if loop.mark in (*THREAD_AXES, VTHREAD) else 1
        total += copies * sum(tile(statement, tensor, loop.name).memory_bytes for tensor in loop.prefetched)
    return total


def _reasons(statement: Statement, target: Target) -> Iterator[str]:
    most = target.vector_lanes if target.gpu else target.vector_lanes * target.vector_registers
    for loop in statement.loops:
        if loop.mark == VECTORIZED and loop.extent > most:
            yield f"loop {loop.name!r} of {statement.name}: a vector of {loop.extent}, at most {most} on {target.name}"
    yield from _gpu_reasons(statement, target.gpu) if target.gpu else _processor_reasons(statement, target)


def _processor_reasons(statement: Statement, target: Target) -> Iterator[str]:
    for loop in statement.loops:
        if loop.mark in AXES:
            yield f"loop {loop.name!r} of {statement.name}: {target.name} has no {loop.mark}; mark it parallel instead"


def _gpu_reasons(statement: Statement, limits: GpuLimits) -> Iterator[str]:
    extents = dict(zip((*BLOCK_AXES, *THREAD_AXES), (*limits.blocks, *limits.threads), strict=True))
    for loop in statement.loops:
        if loop.mark == PARALLEL:
            yield f"loop {loop.name!r} of {statement.name}: a GPU has no parallel loops; bind it instead"
        if loop.extent > extents.get(loop.mark, loop.extent):
            yield f"loop {loop.name!r} of {statement.name}: {loop.mark} of {loop.extent}, at most {extents[loop.mark]}"
    threads, tiles = threads_per_block(statement), tile_bytes(statement)
    if threads > limits.threads_per_block:
        yield f"{statement.name}: {threads} threads in a block, at most {limits.threads_per_block}"
    if tiles > limits.shared_bytes:
        yield f"{statement.name}: {tiles} bytes of prefetched tiles in a block, at most {limits.shared_bytes}"
