"""The choices that a CPU kernel leaves open, as one value with one line of text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CpuSchedule:
    """The register tile of one task: at most ``channels`` vectors of ``lanes`` output channels, times ``rows`` times
    ``columns`` pixels. A contraction takes the nearest smaller tile that its extents allow. ``unroll_rows`` writes the
    kernel's rows out, which makes the borders of a tile that spans all rows static. ``prefetch`` is how many vectors
    ahead weights are fetched. With ``winograd`` 3x3 windows are computed by minimal filtering, ``winograd`` x
    ``winograd`` outputs at once (2 or 4); ``columns`` then counts such tiles. Its tasks share out the
    tiles, or, with ``by_channel``, the output channels.

    >>> print(CpuSchedule(16, 2, 1, 8))
    lanes=16 channels=2 rows=1 columns=8
    """

    lanes: int
    channels: int
    rows: int
    columns: int
    unroll_rows: bool = False
    prefetch: int = 0
    winograd: int = 0
    by_channel: bool = False

    @property
    def accumulators(self) -> int:
        """Vector registers that the tile's results take."""
        return self.channels * self.rows * self.columns

    def __str__(self) -> str:
        tile = f"lanes={self.lanes} channels={self.channels} rows={self.rows} columns={self.columns}"
        return (
            tile
            + (" unroll_rows" if self.unroll_rows else "")
            + (f" prefetch={self.prefetch}" if self.prefetch else "")
            + (f" winograd={self.winograd}" if self.winograd else "")
            + (" by_channel" if self.by_channel else "")
        )
