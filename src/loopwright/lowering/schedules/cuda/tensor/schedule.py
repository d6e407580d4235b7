"""The choices that a kernel on tensor cores leaves open, as one value with one line of text."""

from __future__ import annotations

from dataclasses import dataclass, fields

from loopwright.targets.target import BF16, TF32

WARP = 32


@dataclass(frozen=True)
class Factors:
    """How an instruction takes its factors: so many input channels at once, elements of so many ``bytes``. ``products``
    are those of a multiprocessor in a cycle."""

    channels: int
    bytes: int
    products: int


FACTORS = {TF32: Factors(8, 4, 470), BF16: Factors(16, 2, 940)}
"""By what they are rounded to; sums are float32. A multiprocessor of an H100 does 640 products of tf32 in a cycle where
warps multiply by themselves, 62 % of what it reaches where groups of warps do (Luo et al., "Benchmarking and Dissecting
the Nvidia Hopper GPU Architecture via Microbenchmarking", 2024); 470 is fitted
(`loopwright.lowering.schedules.cuda.tensor.cost`). It does twice as many of bfloat16."""


@dataclass(frozen=True)
class TensorSchedule:
    """A warp multiplies ``channels`` (output channels, a multiple of 32) by ``pixels`` (a multiple of 8), and a block
    has ``pixel_warps`` times ``channel_warps`` of them, times ``share``, the warps that share out the input channels of
    one tile and add up in the end. ``taps`` positions of the kernel and, for each of ``share``, ``depth`` blocks of 16
    input channels have their weights staged in shared memory at once, and ``stages`` such parts are on their way or
    being read at any time. A contraction takes the nearest smaller number of taps that divides its own.

    >>> print(TensorSchedule("tf32", 64, 64, pixel_warps=2, channel_warps=2, taps=3))
    tf32 pixels=64 channels=64 pixel_warps=2 channel_warps=2 taps=3
    """

    precision: str
    pixels: int
    channels: int
    pixel_warps: int = 1
    channel_warps: int = 1
    share: int = 1
    depth: int = 1
    taps: int = 1
    stages: int = 3

    @property
    def factors(self) -> Factors:
        """How its instructions take them."""
        return FACTORS[self.precision]

    @property
    def warps(self) -> int:
        """Of a block."""
        return self.pixel_warps * self.channel_warps * self.share

    @property
    def threads(self) -> int:
        """Of a block."""
        return WARP * self.warps

    @property
    def block_pixels(self) -> int:
        """Of a block's tile."""
        return self.pixels * self.pixel_warps

    @property
    def block_channels(self) -> int:
        """Of a block's tile."""
        return self.channels * self.channel_warps

    def __str__(self) -> str:
        numbers = [(own.name, getattr(self, own.name), own.default) for own in fields(self)[1:]]
        return " ".join([self.precision, *(f"{name}={number}" for name, number, usual in numbers if number != usual)])

    @classmethod
    def parse(cls, text: str) -> TensorSchedule:
        """The schedule that `str` writes so. Raises `ValueError` or `TypeError` for any other text."""
        precision, *words = text.split()
        if precision not in FACTORS:
            raise ValueError(f"unknown precision {precision!r}; known: {', '.join(FACTORS)}")
        numbers = (word.partition("=") for word in words)
        return cls(precision, **{name: int(value) for name, _, value in numbers})


def is_tensor_schedule(text: str) -> bool:
    """Whether a schedule that is written so is for tensor cores."""
    return text.partition(" ")[0] in FACTORS
