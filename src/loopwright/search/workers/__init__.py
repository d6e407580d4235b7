"""Processes that share out work on one thing; results come in the order of the items, whoever worked them out.

    with LocalCrew(2).workers(scorer) as workers:
        verdicts = list(workers.map(judged, candidates))

A crew says where the processes are: forked here (`LocalCrew`) or on a Ray cluster (`RayCrew`). A process that is
lost in the middle of its work loses nothing: the item is given to another.
"""

from __future__ import annotations

from loopwright.search.workers.local import LocalCrew, LocalWorkers
from loopwright.search.workers.on_ray import RayCrew
from loopwright.search.workers.work import Crew, Workers

__all__ = ["Crew", "LocalCrew", "LocalWorkers", "RayCrew", "Workers"]
