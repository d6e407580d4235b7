"""A plain schedule for what TVM lowers itself: on processors outer loops in parallel, the innermost vectorised; on GPUs
TVM's own rules."""

from __future__ import annotations

from math import prod

import tvm
from tvm import s_tir, tirx
from tvm.s_tir import dlight
from tvm.s_tir.schedule import ScheduleError

from loopwright.lowering.layout import channel_block
from loopwright.targets.target import Target

SCHEDULED = "tirx.is_scheduled"
PARALLEL_ITERATIONS = 1 << 14
"""Below this many iterations, starting the threads costs more than they save."""


def schedule_fallbacks(module: tvm.IRModule, target: Target) -> tvm.IRModule:
    """Every function that is not marked as scheduled, scheduled."""
    if target.gpu is not None:
        return dlight.ApplyDefaultSchedule(
            dlight.gpu.Reduction(), dlight.gpu.GeneralReduction(), dlight.gpu.Fallback()
        )(module)
    functions = {
        name: _scheduled(function, target)
        if isinstance(function, tirx.PrimFunc) and SCHEDULED not in (function.attrs or {})
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _scheduled(function: tirx.PrimFunc, target: Target) -> tirx.PrimFunc:
    """The function with its blocks scheduled where that is possible; TVM runs any other as it stands, in one thread."""
    try:
        return _with_schedule(function, target)
    except ScheduleError:
        return function.with_attr(SCHEDULED, True)


def _with_schedule(function: tirx.PrimFunc, target: Target) -> tirx.PrimFunc:
    schedule = s_tir.Schedule(tvm.IRModule({"main": function.with_attr("global_symbol", "main")}))
    _inline(schedule)
    for block in _blocks(schedule):
        _vectorise(schedule, block, target)
    symbol = function.attrs["global_symbol"] if function.attrs and "global_symbol" in function.attrs else None
    scheduled = schedule.mod["main"].with_attr(SCHEDULED, True)
    return scheduled.with_attr("global_symbol", symbol) if symbol else scheduled.without_attr("global_symbol")


def _blocks(schedule: s_tir.Schedule) -> list[s_tir.schedule.SBlockRV]:
    return list(schedule.get_child_blocks(schedule.get_sblock("root", func_name="main")))


def _inline(schedule: s_tir.Schedule) -> None:
    """Puts elementwise blocks into their consumers wherever that is possible."""
    for block in _blocks(schedule):
        if schedule.get_consumers(block) and not _reduction_loops(schedule, block):
            try:
                schedule.compute_inline(block)
            except ScheduleError:
                continue


def _reduction_loops(schedule: s_tir.Schedule, block: s_tir.schedule.SBlockRV) -> list[s_tir.schedule.LoopRV]:
    return _loops(schedule, block)[1]


def _loops(
    schedule: s_tir.Schedule, block: s_tir.schedule.SBlockRV
) -> tuple[list[s_tir.schedule.LoopRV], list[s_tir.schedule.LoopRV]]:
    """The loops over the block's spatial and reduction iterators; none where the block has other loops than those, as
    that of a single number, which has no loop."""
    kinds = [iterator.iter_type for iterator in schedule.get(block).iter_vars]
    over = schedule.get_loops(block)
    loops = list(zip(over, kinds, strict=True)) if len(over) == len(kinds) else []
    spatial = [loop for loop, kind in loops if kind == tirx.IterVar.DataPar]
    return spatial, [loop for loop, kind in loops if kind != tirx.IterVar.DataPar]


def _vectorise(schedule: s_tir.Schedule, block: s_tir.schedule.SBlockRV, target: Target) -> None:
    spatial, reduction = _loops(schedule, block)
    if not spatial:
        return
    extents = [int(schedule.get(loop).extent) for loop in spatial]
    work = prod(extents) * prod(int(schedule.get(loop).extent) for loop in reduction)
    rest, vector = schedule.split(spatial[-1], [None, channel_block(extents[-1], target.vector_lanes)])
    schedule.reorder(*spatial[:-1], rest, *reduction, vector)
    outer = schedule.fuse(*spatial[:-1], rest)
    if work >= PARALLEL_ITERATIONS:
        schedule.parallel(outer)
    schedule.vectorize(vector)
    if reduction:
        schedule.decompose_reduction(block, reduction[0])
