"""The choices that a CPU kernel leaves open, as one value with one line of text."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class CpuSchedule:
    """The register tile of one task: at most ``channels`` vectors of ``lanes`` output channels, times ``rows`` times
    ``columns`` pixels. A contraction takes the nearest smaller tile that its extents allow. ``unroll_rows`` writes the
    kernel's rows out, which makes the borders of a tile that spans all rows static; where nothing of the reduction is
    a loop then, a tile of one vector of channels goes by its inputs (`loopwright.lowering.schedules.stationary`).
    ``prefetch`` is how many vectors ahead weights are fetched; with ``next_weights``, tiles that read the same weights
    fetch those of the next channels instead (`loopwright.lowering.schedules.fetching`). With ``winograd`` 3x3 windows
    are computed by minimal filtering, ``winograd`` x ``winograd`` outputs at once (2 or 4); ``columns`` then counts
    such tiles. Its tasks share out the tiles, or, with ``by_channel``, the output channels. With ``one_thread`` the
    calling thread computes all register tiles: to start others takes about a microsecond.

    >>> print(CpuSchedule(16, 2, 1, 8, unroll_rows=True, prefetch=64))
    lanes=16 channels=2 rows=1 columns=8 prefetch=64 unroll_rows
    """

    lanes: int
    channels: int
    rows: int
    columns: int
    unroll_rows: bool = False
    prefetch: int = 0
    winograd: int = 0
    by_channel: bool = False
    one_thread: bool = False
    next_weights: bool = False

    @property
    def accumulators(self) -> int:
        """Vector registers that the tile's results take."""
        return self.channels * self.rows * self.columns

    def __str__(self) -> str:
        values = {own.name: getattr(self, own.name) for own in fields(self)}
        numbers = [f"{name}={value}" for name, value in values.items() if value and not isinstance(value, bool)]
        return " ".join([*numbers, *(name for name, value in values.items() if value is True)])

    @classmethod
    def parse(cls, text: str) -> CpuSchedule:
        """The schedule that `str` writes so. Raises `ValueError` or `TypeError` for any other text."""
        words = [word.partition("=") for word in text.split()]
        values: dict[str, Any] = {name: int(value) if equals else True for name, equals, value in words}
        return cls(**values)
