"""What marks ask of a target, against its limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loopwright.errors import ArgumentError
from loopwright.legality.limits import feasible, threads_per_block, tile_bytes
from loopwright.legality.verdict import Verdict
from loopwright.operators import parse
from loopwright.targets.cpu import cpu
from loopwright.targets.cuda import ARCHITECTURES, cuda
from loopwright.transformations import TransformationSequence

BASE = parse("conv2d(co=128, ci=64, oh=32, ow=32, kh=3, kw=3)").nest()
CPU = replace(cpu(), vector_lanes=16, vector_registers=32)


def verdict(sequence: str, target=CPU) -> Verdict:  # type: ignore[no-untyped-def]
    return feasible(TransformationSequence.parse(sequence).apply(BASE), target)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_modest_mapping_fits_every_gpu(architecture: str) -> None:
    sequence = "bind(co, blockIdx.x) -> bind(oh, threadIdx.y) -> bind(ow, threadIdx.x) -> prefetch(weight, co)"
    found = verdict(sequence, cuda(architecture))
    assert found.legal, found.reason
    assert found.scores == {"threads": 1024, "tile_bytes": 4 * 64 * 9}


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [
        (
            "bind(co, threadIdx.y) -> bind(oh, threadIdx.x)",
            "s0: 4096 threads in a block, at most 1024",
        ),
        ("bind(co, threadIdx.z)", "loop 'co' of s0: threadIdx.z of 128, at most 64"),
        ("parallel(co)", "loop 'co' of s0: a GPU has no parallel loops; bind it instead"),
        (
            "bind(co, blockIdx.x) -> prefetch(input, co)",
            "s0: 295936 bytes of prefetched tiles in a block, at most 232448",
        ),
        ("reorder(kw, ow) -> vectorize(ow)", "loop 'ow' of s0: a vector of 32, at most 4 on cuda"),
    ],
)
def test_what_a_gpu_can_not(sequence: str, reason: str) -> None:
    found = verdict(sequence, cuda())
    assert (found.legal, found.check, found.reason) == (False, "limits", reason)


def test_blocks_have_limits_along_every_axis() -> None:
    wide = parse("conv2d(n=1, co=4, ci=4, oh=70000, ow=2)").nest()
    mapped = TransformationSequence.parse("bind(oh, blockIdx.y)").apply(wide)
    assert feasible(mapped, cuda()).reason == "loop 'oh' of s0: blockIdx.y of 70000, at most 65535"
    assert feasible(TransformationSequence.parse("bind(oh, blockIdx.x)").apply(wide), cuda()).legal


def test_every_thread_has_a_tile_of_its_own() -> None:
    shared, own = (
        TransformationSequence.parse(f"bind(co, threadIdx.x) -> bind(oh, vthread) -> {step}").apply(BASE).statements[0]
        for step in ("prefetch(weight, n)", "prefetch(weight, oh)")
    )
    assert threads_per_block(own) == 128
    assert tile_bytes(shared) == 4 * 128 * 64 * 9
    assert tile_bytes(own) == 128 * 32 * (4 * 9)


def test_what_a_processor_can_not() -> None:
    assert verdict("parallel(co)").legal
    assert verdict("bind(co, blockIdx.x)").reason == "loop 'co' of s0: cpu has no blockIdx.x; mark it parallel instead"
    assert verdict("fuse(oh, ow) -> reorder(kh, kw, oh_ow) -> vectorize(oh_ow)").reason == (
        "loop 'oh_ow' of s0: a vector of 1024, at most 512 on cpu"
    )


def test_an_unknown_architecture_is_told_with_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match="unknown architecture 'sm_1'; known: sm_90, sm_80, sm_75, sm_61, sm_53"):
        cuda("sm_1")
