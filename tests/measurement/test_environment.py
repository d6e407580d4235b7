"""What timings depend on."""

from __future__ import annotations

import json

from loopwright import targets
from loopwright.measurement.environment import environment, environment_hash
from loopwright.targets.cpu import cpu


def test_the_hash_follows_the_threads() -> None:
    one, two = environment(cpu(threads=1)), environment(cpu(threads=2))
    assert environment_hash(one) == environment_hash(environment(cpu(threads=1)))
    assert environment_hash(one) != environment_hash(two)
    assert one["tvm"]
    assert one["processor"]


def test_the_precision_is_told_only_where_it_is_not_the_usual_one() -> None:
    """Timings of float32 are found again under what they were kept under before there were others."""
    found = {name: environment(targets.named("cuda-sm_90", precision=name)) for name in targets.PRECISIONS}
    usual = {"kind": "cuda", "arch": "sm_90"}
    assert json.loads(found.pop("float32")["target"]) == usual
    assert {name: json.loads(own["target"]) for name, own in found.items()} == {
        name: {**usual, "precision": name} for name in ("tf32", "bf16")
    }
    hashes = {environment_hash(environment(targets.named("cuda-sm_90", precision=name))) for name in targets.PRECISIONS}
    assert len(hashes) == len(targets.PRECISIONS)
