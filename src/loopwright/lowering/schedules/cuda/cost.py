"""What a schedule costs on a GPU, estimated: the multiprocessor with the most blocks decides.

Its warps issue products and move lines of level 1 to registers, and each warp goes through its steps one after the
other, waiting for what it loads; the three add up, for a multiprocessor has few warps where a batch is small. Or what
its blocks read from level 2 takes longer. The constants are fitted to 244 timed schedules of five operators on an H100
(4 schedulers, 128 bytes of level 1 a cycle; 5.5 TB/s from level 2 over 132 multiprocessors at 1.7 GHz); from any four
of them, the best of the first three for the fifth is 7 % from the best that was timed, the best of eight 2 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.schedules.digits import Digit, Digits
from loopwright.targets.target import GpuLimits

WARP = 32
PRODUCT_CYCLES = 0.19
"""Of a multiprocessor, for a product of all threads of a warp."""
LINE_BYTES, LINE_CYCLES, LOAD_CYCLES = 128, 1.3, 2.7
"""Of level 1, for every line and every load of a warp."""
LEVEL2_BYTES_PER_CYCLE = 24
VECTOR_BYTES = 16
STEP_WAIT, PRODUCT_WAIT, LOAD_WAIT = 100, 0.6, 40
"""Cycles of one warp: for a step of its reduction, and a product and a load in it."""
STATIC_SHARED_BYTES = 48 * 1024
REGISTERS_OF_A_THREAD = 160
"""Floats of a tile, its factors and inputs, above which too few threads fit a multiprocessor."""


@dataclass(frozen=True)
class Estimate:
    """Of one contraction for ``n`` images, whose input has the given shape."""

    digits: Digits
    n: int
    input_shape: tuple[int, ...]
    limits: GpuLimits

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.digits.extent("share") * self.digits.extent("thread")

    @property
    def vectors(self) -> int:
        """Of a register tile."""
        return prod(self.digits.extent(kind) for kind in ("channel", "row", "column"))

    @property
    def shared_bytes(self) -> int:
        """Of a block, for the sums that its threads share."""
        lanes = self.digits.extent("lane")
        return FLOAT_BYTES * self.threads * self.vectors * lanes if self.digits.extent("share") > 1 else 0

    @property
    def registers(self) -> int:
        """Floats that a thread holds: its tile, and what the taps of one kernel row read."""
        rows = self.digits.of("row", "column", "tap")
        held = self._span(rows, 2) * self.digits.extent("row") * max(self.digits.extent("inner"), 1)
        return self.vectors * self.digits.extent("lane") + held

    @property
    def fits(self) -> bool:
        """Whether a block can run, and its tiles stay in registers."""
        in_limits = self.threads <= self.limits.threads_per_block and self.shared_bytes <= STATIC_SHARED_BYTES
        return in_limits and self.registers <= REGISTERS_OF_A_THREAD

    @cached_property
    def cycles(self) -> float:
        """Of the whole contraction."""
        blocks = self.n * self.digits.extent("block")
        own = -(-blocks // self.limits.multiprocessors)
        warps = own * -(-self.threads // WARP)
        steps = self.digits.extent("reduce")
        weights = prod(self.digits.extent(kind) for kind in ("tap", "inner", "channel"))
        reads = self._reads
        products = weights * self.digits.extent("row") * self.digits.extent("column") * self.digits.extent("lane")
        loads = weights + reads
        issue = warps * steps * products * PRODUCT_CYCLES
        lines = weights * self._bytes_of_a_warp(weights=True) + reads * self._bytes_of_a_warp(weights=False)
        level1 = warps * steps * (lines / LINE_BYTES * LINE_CYCLES + loads * LOAD_CYCLES)
        level2 = own * self._bytes_of_a_block / LEVEL2_BYTES_PER_CYCLE
        return max(issue + level1 + steps * (STEP_WAIT + products * PRODUCT_WAIT + loads * LOAD_WAIT), level2)

    @property
    def _reads(self) -> int:
        """Vectors of the input that a thread reads in a step."""
        held = self.digits.of("row", "column", "tap")
        return self._span(held, 1) * self._span(held, 2)

    @property
    def _bytes_of_a_block(self) -> int:
        inside = [digit for digit in self.digits.digits if digit.kind != "block"]
        channels = min(self._span(inside, 0), prod(d.extent for d in inside if self._step(d, 0)))
        pixels = self._span(inside, 1) * self._span(inside, 2)
        weights = prod(digit.extent for digit in self.digits.in_weight if digit.kind != "block")
        return FLOAT_BYTES * (channels * pixels + weights)

    def _bytes_of_a_warp(self, *, weights: bool) -> int:
        """What the threads of a warp read at once, each a vector; those that read the same are one."""
        left, distinct = min(WARP, self.threads), 1
        for digit in reversed(self.digits.of("share", "thread")):
            dim = self.digits.contraction.dims[digit.dim]
            own = min(left, digit.extent)
            distinct *= own if (dim.in_weight if weights else any(dim.input)) else 1
            left = max(1, left // digit.extent)
        return max(LINE_BYTES, distinct * VECTOR_BYTES)

    def _step(self, digit: Digit, axis: int) -> int:
        return abs(digit.step * self.digits.contraction.dims[digit.dim].input[axis])

    def _span(self, digits: list[Digit] | tuple[Digit, ...], axis: int) -> int:
        """How many elements of the input along an axis lie between the first and the last that digits reach."""
        reach = 1 + sum(self._step(digit, axis) * (digit.extent - 1) for digit in digits)
        return min(reach, self.input_shape[axis])
