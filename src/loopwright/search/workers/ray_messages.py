"""What this process and the one that is connected to Ray (`ray_process`) say to each other, over one connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Connect:
    """To the cluster at ``address``; ``local`` starts one on this machine, for ``processors`` processes, and so does
    ``auto`` where none is running here."""

    address: str
    processors: int


@dataclass(frozen=True)
class Connected:
    """The cluster has so many ``processors`` and ``machines``."""

    processors: int
    machines: int


@dataclass(frozen=True, eq=False)
class Start:
    """``count`` workers are to work on the pickled ``thing``; others end."""

    thing: bytes
    count: int


@dataclass(frozen=True)
class Rest:
    """The workers end, whatever they are doing."""


@dataclass(frozen=True, eq=False)
class Work:
    """The pickled function that the pieces name by ``number``."""

    number: int
    function: bytes


@dataclass(frozen=True, eq=False)
class Piece:
    """The pickled ``item`` is to be worked on; its answer has its ``number``."""

    number: int
    work: int
    item: bytes


@dataclass(frozen=True, eq=False)
class Answer:
    """For `work.result_of`."""

    number: int
    answered: bytes


@dataclass(frozen=True)
class Lost:
    """The worker that had this piece ended by itself; ``how`` is the beginning of a sentence."""

    number: int
    how: str


@dataclass(frozen=True)
class Failed:
    """Nothing goes on, for this ``reason``; the process ends."""

    reason: str
