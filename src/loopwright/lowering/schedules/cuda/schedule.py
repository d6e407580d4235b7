"""The choices that a GPU kernel leaves open, as one value with one line of text."""

from __future__ import annotations

from dataclasses import dataclass, fields

LANES = 4
"""Floats that a thread reads or writes at once."""


@dataclass(frozen=True)
class CudaSchedule:
    """The register tile of one thread: at most ``channels`` vectors of four output channels, times ``rows`` times
    ``columns`` pixels. A block has threads for ``thread_channels`` such vectors next to each other, times
    ``thread_rows`` times ``thread_columns`` tiles of pixels, times ``share``, the threads that share out the reduction
    of one tile and add up in the end. A contraction takes the nearest smaller numbers that its extents allow.

    >>> print(CudaSchedule(1, 1, 4, thread_channels=4, thread_columns=8, share=8))
    channels=1 rows=1 columns=4 thread_channels=4 thread_columns=8 share=8
    """

    channels: int
    rows: int
    columns: int
    thread_channels: int = 1
    thread_rows: int = 1
    thread_columns: int = 1
    share: int = 1

    @property
    def lanes(self) -> int:
        """Output channels of a vector."""
        return LANES

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.thread_channels * self.thread_rows * self.thread_columns * self.share

    def __str__(self) -> str:
        numbers = [(own.name, getattr(self, own.name), own.default) for own in fields(self)]
        return " ".join(f"{name}={number}" for name, number, usual in numbers if number != usual)

    @classmethod
    def parse(cls, text: str) -> CudaSchedule:
        """The schedule that `str` writes so. Raises `ValueError` or `TypeError` for any other text."""
        words = [word.partition("=") for word in text.split()]
        return cls(**{name: int(value) for name, _, value in words})
