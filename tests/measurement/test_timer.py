"""Protocols and samples."""

from __future__ import annotations

from time import sleep

from loopwright.measurement.timer import Measurement, Protocol, measure, rotate, sample

SHORT = Protocol(rounds=3, sample_ms=2.0)


def test_the_slower_call_takes_longer() -> None:
    fast, slow = measure([lambda: sleep(0.001), lambda: sleep(0.01)], SHORT)
    assert fast.median_ms < slow.median_ms
    assert slow.median_ms >= 10
    assert len(fast.samples_ms) == len(slow.samples_ms) == 3


def test_calls_take_turns() -> None:
    seen: list[str] = []
    measure([lambda: seen.append("a") or sleep(0.003), lambda: seen.append("b") or sleep(0.003)], SHORT)
    assert "".join(seen).endswith("ababab")


def test_rotation_uses_every_copy() -> None:
    seen: list[int] = []
    call = rotate([lambda i=i: seen.append(i) for i in range(3)])
    for _ in range(7):
        call()
    assert seen == [0, 1, 2, 0, 1, 2, 0]


def test_copies_span_the_cold_bytes_within_bounds() -> None:
    protocol = Protocol(cold_bytes=1000, copies=8)
    assert [protocol.copies_of(size) for size in (1, 250, 300, 5000)] == [8, 4, 4, 2]
    protocol = Protocol(passed_bytes=1000, copies=8)
    assert [protocol.copies_of_activations(size) for size in (1, 250, 300, 5000)] == [8, 4, 4, 1]


def test_the_latency_is_the_median() -> None:
    assert Measurement((1.0, 9.0, 2.0), SHORT).median_ms == 2.0


def test_a_sample_by_itself_warms_up_first() -> None:
    seen: list[int] = []
    assert sample(lambda: seen.append(0) or sleep(0.003), SHORT) >= 3
    assert len(seen) == SHORT.warm_up + 2, "one call tells how many fill a sample"
