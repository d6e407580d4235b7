"""What the machine can do: the rate of its fused multiply-adds, and of copies by the cache that holds them.

Both are kernels of their own, compiled like those under test and timed in turns with them (`measure`): where the
processor's clock moves or the machine is shared, only a ratio inside one run means anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tvm
from tvm import tirx

from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.tir import Expression, loop, parallel, ramp, sequence, unrolled, zero
from loopwright.measurement.build import compile_function
from loopwright.measurement.timer import Call, Measurement
from loopwright.targets.target import Target

ACCUMULATORS = 20
"""Independent chains of multiply-adds: two a cycle, each waiting four or five cycles for the one before, need ten."""

OPERANDS = 4
MULTIPLY_ADDS = 200_000
VECTORS_AT_ONCE = 4
COPIED_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Probe:
    """A call of known ``work``: floating-point operations, or bytes read and written."""

    call: Call
    work: int

    def rate(self, measurement: Measurement) -> float:
        """What one measurement of the call comes to, in GFLOP/s or GB/s."""
        return self.work / measurement.median_ms / 1e6


@dataclass(frozen=True)
class CacheLevel:
    """The caches of one level, those of all threads together; ``capacity`` is in bytes, none for what holds the rest:
    level 3 or memory."""

    name: str
    capacity: int | None
    working_set: int
    """Bytes, read and written ones, that copies at this level are timed with."""


def cache_levels(target: Target) -> tuple[CacheLevel, ...]:
    """Levels 1 and 2, timed half full, and what lies beyond, timed with four times what level 2 holds."""
    first, second = target.threads * target.l1_bytes, target.threads * target.l2_bytes
    return (
        CacheLevel("L1", first, first // 2),
        CacheLevel("L2", second, second // 2),
        CacheLevel("beyond L2", None, 4 * second),
    )


def level_of(size: int, target: Target) -> CacheLevel:
    """The first level that holds ``size`` bytes, divided among the threads."""
    return next(level for level in cache_levels(target) if level.capacity is None or size <= level.capacity)


def peak_probe(target: Target) -> Probe:
    """Multiply-adds of vectors that stay in registers, on all threads; its rate is the target's peak."""
    threads, lanes = target.threads, target.vector_lanes
    chains = min(ACCUMULATORS, target.vector_registers - OPERANDS)
    operands = tvm.runtime.tensor(np.full((2, lanes), 0.5, np.float32))
    results = tvm.runtime.tensor(np.zeros((threads, chains, lanes), np.float32))
    compiled = compile_function(peak_function(target, chains), target)
    flop = 2 * threads * MULTIPLY_ADDS * chains * lanes
    return Probe(partial(compiled, operands, results), flop)


def copy_probe(target: Target, working_set: int, times: int | None = None) -> Probe:
    """Copies on all threads, each between two buffers of its own that together span its part of ``working_set`` bytes.

    A copy of N bytes counts 2 N: those read and those written. Without ``times`` a call copies as often as makes the
    call itself, and its threads' start, small beside it.
    """
    vector_bytes = FLOAT_BYTES * target.vector_lanes
    vectors = max(1, working_set // (2 * target.threads * vector_bytes * VECTORS_AT_ONCE)) * VECTORS_AT_ONCE
    traffic = 2 * target.threads * vectors * vector_bytes
    times = times or max(1, COPIED_BYTES // traffic)
    shape = (target.threads, vectors, target.vector_lanes)
    source, copied = (tvm.runtime.tensor(np.full(shape, fill, np.float32)) for fill in (1.0, 0.0))
    compiled = compile_function(copy_function(target, vectors, times), target)
    return Probe(partial(compiled, source, copied), times * traffic)


def peak_function(target: Target, chains: int) -> tirx.PrimFunc:
    """``results[thread, chain] = (0 * a + b) * a + b ...`` from ``operands``, the vectors a and b."""
    threads, lanes = target.threads, target.vector_lanes
    operands = tirx.decl_buffer((2, lanes), "float32", "operands")
    results = tirx.decl_buffer((threads, chains, lanes), "float32", "results")
    registers = [tirx.decl_buffer((1, lanes), "float32", f"chain_{chain}") for chain in range(chains)]
    factor, summand = (_vector(operands, [k], lanes) for k in range(2))

    def multiply_adds(_: Expression) -> tirx.Stmt:
        return sequence([_set(own, [0], _vector(own, [0], lanes) * factor + summand, lanes) for own in registers])

    def thread(at: tuple[Expression, ...]) -> tirx.Stmt:
        kept = [_set(results, [at[0], k], _vector(own, [0], lanes), lanes) for k, own in enumerate(registers)]
        cleared = [_set(own, [0], zero(lanes), lanes) for own in registers]
        repeated = loop("time", MULTIPLY_ADDS, multiply_adds)
        return sequence([*map(tirx.AllocBuffer, registers), *cleared, repeated, *kept])

    return _function([operands, results], parallel("thread", [threads], thread))


def copy_function(target: Target, vectors: int, times: int) -> tirx.PrimFunc:
    """``copied[thread] = source[thread]``, ``vectors`` vectors each, ``times`` times."""
    threads, lanes = target.threads, target.vector_lanes
    source, copied = (tirx.decl_buffer((threads, vectors, lanes), "float32", name) for name in ("source", "copied"))

    def copy(thread: Expression, vector: Expression) -> tirx.Stmt:
        return _set(copied, [thread, vector], _vector(source, [thread, vector], lanes), lanes)

    def some(thread: Expression, first: Expression) -> tirx.Stmt:
        return unrolled("vector", 0, VECTORS_AT_ONCE, lambda k: copy(thread, first * VECTORS_AT_ONCE + k))

    def all_of(thread: Expression) -> tirx.Stmt:
        return loop("first", vectors // VECTORS_AT_ONCE, lambda first: some(thread, first))

    body = parallel("thread", [threads], lambda at: loop("time", times, lambda _: all_of(at[0])))
    return _function([source, copied], body)


def _function(parameters: list[Any], body: tirx.Stmt) -> tirx.PrimFunc:
    return tirx.PrimFunc(parameters, body).with_attr({"global_symbol": "main", "tirx.noalias": True})


def _vector(buffer: Any, place: list[Expression], lanes: int) -> Expression:
    return tirx.BufferLoad(buffer, [*place, ramp(0, lanes)])


def _set(buffer: Any, place: list[Expression], value: Expression, lanes: int) -> tirx.Stmt:
    return tirx.BufferStore(buffer, value, [*place, ramp(0, lanes)])
