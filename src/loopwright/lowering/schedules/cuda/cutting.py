"""How a contraction's dims are cut into blocks, threads and registers of a GPU.

``lane`` digits make the vector and ``channel row column`` the register tile, as on a processor. ``block`` digits are
the grid, ``thread`` digits the threads that have tiles of their own, ``share`` those that share out the reduction of
one tile. Of a thread's part of the reduction ``reduce`` digits are loops, ``tap`` digits are written out, and the
``inner`` digit counts the input channels of one vector.
"""

from __future__ import annotations

from functools import cached_property
from math import gcd, prod

from loopwright.ir.contraction import Contraction
from loopwright.lowering.schedules.cuda.schedule import LANES, CudaSchedule
from loopwright.lowering.schedules.digits import Cutter, Digit, Digits, is_reduction, largest_divisor

UPDATES_AT_MOST = 512
"""Vector multiply-adds that are written out for a thread."""


def cut(contraction: Contraction, schedule: CudaSchedule, input_block: int) -> Digits:
    """The digits of ``contraction`` under ``schedule``, reading activations in blocks of ``input_block`` channels."""
    return Digits(contraction, tuple(_CudaCutter(contraction, schedule, input_block).digits()))


class _CudaCutter(Cutter):
    """Weights are packed in the order of the digits: what neighbouring threads read at once lies together."""

    def __init__(self, contraction: Contraction, schedule: CudaSchedule, input_block: int):
        super().__init__(contraction.dims, schedule.lanes, schedule.channels, input_block)
        self.offset, self.schedule = contraction.input_offset, schedule

    def digits(self) -> list[Digit]:
        lanes = list(reversed(self._lanes()))
        mixed = any(any(self.dims[digit.dim].input) for digit in lanes)
        tile = [*self._channels(), *self._row(), *self._column()]
        inner = [] if mixed else self._inner()
        written_out = prod(digit.extent for digit in (*tile, *inner))
        taps = self._taps(UPDATES_AT_MOST // written_out)
        share = self._share()
        threads = [*self._thread_pixels(), *reversed(self._thread_channels())]
        reduce = [self._rest(k, "reduce") for k in self._reduced if self.left[k] > 1]
        space = [k for k, dim in enumerate(self.dims) if not is_reduction(dim)]
        ordered = sorted(space, key=lambda k: self.dims[k].in_weight)
        blocks = [self._rest(k, "block") for k in ordered if self.left[k] > 1]
        return [*blocks, *reduce, *taps, *inner, *tile, *share, *threads, *lanes]

    @cached_property
    def _reduced(self) -> list[int]:
        """Reductions over channels first, then over kernel rows, then over kernel columns."""
        reduced = [k for k, dim in enumerate(self.dims) if is_reduction(dim)]
        return sorted(reduced, key=lambda k: (bool(self.dims[k].input[2]), bool(self.dims[k].input[1])))

    @cached_property
    def _over_channels(self) -> list[int]:
        """Reductions over input channels alone, neighbours first."""
        found = [k for k in self._reduced if self.dims[k].input[0] and not any(self.dims[k].input[1:])]
        return sorted(found, key=lambda k: abs(self.dims[k].input[0]))

    def _row(self) -> list[Digit]:
        return [self._take(k, "row", largest_divisor(self.left[k], self.schedule.rows)) for k in self._pixels(1, 2)[:1]]

    def _column(self) -> list[Digit]:
        return [
            self._take(k, "column", largest_divisor(self.left[k], self.schedule.columns))
            for k in self._pixels(2, 1)[:1]
        ]

    def _inner(self) -> list[Digit]:
        """Input channels that always lie in one aligned vector."""
        for k in self._over_channels[:1]:
            steps = [abs(dim.input[0]) for j, dim in enumerate(self.dims) if j != k]
            count = gcd(self.left[k], LANES, self.input_block, self.offset[0], *steps)
            if self.dims[k].input[0] == 1 and count > 1:
                return [self._take(k, "inner", count)]
        return []

    def _taps(self, most: int) -> list[Digit]:
        """Kernel columns, and kernel rows outside of them, as far as ``most`` points are not exceeded."""
        taps: list[Digit] = []
        for k in reversed([k for k in self._reduced if k not in self._over_channels]):
            if self.left[k] * prod(digit.extent for digit in taps) <= most:
                taps = [self._rest(k, "tap"), *taps]
        return taps

    def _share(self) -> list[Digit]:
        """Threads next to each other read channels next to each other."""
        return self._spread("share", self._over_channels, self.schedule.share)

    def _thread_channels(self) -> list[Digit]:
        found = [k for k, dim in enumerate(self.dims) if dim.in_weight and dim.output[0]]
        found = sorted(found, key=lambda k: abs(self.dims[k].output[0]))
        return self._spread("thread", found, self.schedule.thread_channels)

    def _thread_pixels(self) -> list[Digit]:
        rows = self._spread("thread", self._pixels(1, 2), self.schedule.thread_rows)
        return [*rows, *self._spread("thread", self._pixels(2, 1), self.schedule.thread_columns)]

    def _spread(self, kind: str, dims: list[int], wanted: int) -> list[Digit]:
        """Digits of ``dims``, the first innermost, with at most ``wanted`` values together."""
        taken = []
        for k in dims:
            factor = largest_divisor(self.left[k], wanted)
            if factor > 1:
                taken.append(self._take(k, kind, factor))
                wanted //= factor
        return taken
