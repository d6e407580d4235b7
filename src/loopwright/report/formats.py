"""Figures as people read them.

>>> milliseconds(14.8123), milliseconds(0.01234), milliseconds(None)
('14.8', '0.0123', '-')
>>> count(21_282_122), count(1_159_000_000), count(640)
('21.3 M', '1.16 G', '640')
>>> ratio(14.8, 7.0), ratio(1, 0)
('2.11×', '-')
"""

from __future__ import annotations

from loopwright.targets.target import Target


def significant(value: float, digits: int = 3) -> str:
    """``value`` with that many significant digits, never in scientific notation from 0.0001 to a million."""
    if value == 0 or not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}" if value else "0"
    rounded = float(f"{value:.{digits}g}")
    whole = len(str(int(abs(rounded)))) if abs(rounded) >= 1 else 0
    return f"{rounded:.{max(digits - whole, 0)}f}" if whole else f"{value:#.{digits}g}"


def milliseconds(latency_ms: float | None) -> str:
    """A latency without its unit, or ``-`` if there is none."""
    return "-" if latency_ms is None else significant(latency_ms)


def count(number: int) -> str:
    """A number of MACs or parameters, with k, M or G."""
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= size:
            return significant(number / size) + unit
    return str(number)


def score(value: float) -> str:
    """A Fisher Potential."""
    return f"{value:.3g}"


def ratio(before: float, after: float) -> str:
    """How many times smaller ``after`` is than ``before``."""
    return f"{before / after:.2f}×" if after else "-"


def megabytes(size: int) -> str:
    """A number of bytes."""
    return f"{size / 10**6:.1f} MB"


def threads(number: int) -> str:
    """``2 threads``."""
    return f"{number} thread{'s' if number > 1 else ''}"


def hardware(target: Target) -> str:
    """How many threads of a processor run, ``2 threads``, or which GPU, ``sm_90``."""
    return threads(target.threads) if target.gpu is None else target.processor


def shape(extents: tuple[int, ...]) -> str:
    """``1×3×32×32``."""
    return "×".join(str(extent) for extent in extents)
