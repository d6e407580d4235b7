"""What a schedule for tensor cores costs, estimated: the multiprocessor with the most blocks decides.

Its tensor cores multiply, its warps read both factors from shared memory, and its blocks read from level 2; the slowest
of the three decides, and to it comes what the blocks that run side by side on it do not hide of each other: waiting at
the barrier of a step, the first copies, and the results.

The constants are fitted by hand to 96 timed schedules of four 3x3 operators at 128 images on an H100
(``docs/data/gpu/batch-schedules.csv``): estimates are 17 % off on average (cycles at 1.7 GHz). The first by estimate
loses at most 7 % against the best that was timed, as do the best of the first three (0, 0, 7 and 0 %); the best of the
first eight loses nothing. But the 96 are those that an earlier estimate ranked first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from loopwright.ir.loopnest import FLOAT_BYTES
from loopwright.lowering.schedules.cuda.tensor.schedule import TensorSchedule
from loopwright.lowering.schedules.cuda.tensor.tiling import CHANNELS, PIXELS, VECTOR, Tiling
from loopwright.lowering.schedules.cuda.tensor.window import BLOCK
from loopwright.targets.target import GpuLimits

SHARED_BYTES_PER_CYCLE, LEVEL2_BYTES_PER_CYCLE = 80, 17
STEP_WAIT, BLOCK_WAIT = 115, 2500
"""Cycles of a block that has its multiprocessor for itself: at a barrier, and once more the fewer copies are ahead."""
SCHEDULERS, ALONE = 4, 0.25
"""Of a multiprocessor; the part of its time that a warp, alone on one, spends with other things than products."""
REGISTERS, REGISTERS_OF_A_THREAD, OTHER_REGISTERS = 1 << 16, 255, 40
"""Of a multiprocessor; of a thread at most; of a thread besides sums and factors."""
SHARED_RESERVED_BYTES = 1024
"""Of each block, by the system."""


@dataclass(frozen=True)
class Estimate:
    """Of one contraction."""

    tiling: Tiling
    limits: GpuLimits

    @property
    def _schedule(self) -> TensorSchedule:
        return self.tiling.schedule

    @property
    def registers(self) -> int:
        """Of a thread: sums, the weights of a tap and 16 channels, and those pixels that are read ahead."""
        channels, pixels = self._schedule.channels // CHANNELS, self._schedule.pixels // PIXELS
        instructions = BLOCK // self._schedule.factors.channels
        return 2 * VECTOR * (channels * pixels + instructions * channels + 1) + pixels + OTHER_REGISTERS

    @property
    def resident(self) -> int:
        """Blocks that a multiprocessor runs side by side."""
        by_registers = REGISTERS // (self.registers * self._schedule.threads)
        by_shared = self.limits.shared_bytes // (self.tiling.shared_bytes + SHARED_RESERVED_BYTES)
        return min(by_registers, by_shared)

    @property
    def fits(self) -> bool:
        """Whether a block can run, with its sums in registers."""
        threads = self._schedule.threads <= self.limits.threads_per_block
        shared = self.tiling.shared_bytes <= self.limits.shared_bytes
        return threads and shared and self.registers <= REGISTERS_OF_A_THREAD and self.resident > 0

    @cached_property
    def cycles(self) -> float:
        """Of the whole contraction."""
        own = -(-self.tiling.blocks // self.limits.multiprocessors)
        level2 = self.tiling.blocks * self._bytes_of_a_block / self.limits.multiprocessors / LEVEL2_BYTES_PER_CYCLE
        side_by_side = min(own, self.resident)
        alone = 1 + ALONE * SCHEDULERS / (side_by_side * self._schedule.warps)
        busy = own * max(
            self._products * alone / self._schedule.factors.products, self._shared_bytes / SHARED_BYTES_PER_CYCLE
        )
        step_wait = STEP_WAIT * (1 + 1 / (self._schedule.stages - 1))
        waits = own * (self.tiling.sum.steps * step_wait + BLOCK_WAIT) / side_by_side
        return max(busy, level2) + waits

    @property
    def _multiplied(self) -> int:
        """How often a warp multiplies by a tap and a block of channels."""
        own = self.tiling.sum
        return own.steps * own.taps * own.depth // self._schedule.share

    @property
    def _products(self) -> int:
        schedule = self._schedule
        return schedule.warps * self._multiplied * schedule.pixels * schedule.channels * BLOCK

    @property
    def _shared_bytes(self) -> int:
        """Read by a block's warps."""
        schedule = self._schedule
        read = schedule.pixels * FLOAT_BYTES + schedule.channels * schedule.factors.bytes
        return schedule.warps * self._multiplied * read * BLOCK

    @property
    def _bytes_of_a_block(self) -> int:
        """From level 2, zeros outside of the images left out, and the results."""
        own, schedule, window = self.tiling.sum, self._schedule, self.tiling.window
        images, *read = self.tiling.read
        sizes = zip(read, window.size, window.stride, strict=True)
        pixels = images * prod(min(extent, size * stride) for extent, size, stride in sizes)
        floats = pixels * window.blocks * BLOCK + own.steps * own.weight_vectors * VECTOR
        return FLOAT_BYTES * (floats + schedule.block_pixels * schedule.block_channels)
