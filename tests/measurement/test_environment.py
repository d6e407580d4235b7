"""What timings depend on."""

from __future__ import annotations

from loopwright.measurement.environment import environment, environment_hash
from loopwright.targets.cpu import cpu


def test_the_hash_follows_the_threads() -> None:
    one, two = environment(cpu(threads=1)), environment(cpu(threads=2))
    assert environment_hash(one) == environment_hash(environment(cpu(threads=1)))
    assert environment_hash(one) != environment_hash(two)
    assert one["tvm"]
    assert one["processor"]
