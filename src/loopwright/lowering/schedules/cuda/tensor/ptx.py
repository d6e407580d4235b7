"""The instructions of NVIDIA's PTX that the kernels are written with (PTX ISA 8.0, chapter 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx
from tvm.script import tirx as script

from loopwright.lowering.tir import Expression
from loopwright.targets.target import BF16, TF32

COPIED_BYTES = 16
MULTIPLY = {
    TF32: "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
    BF16: "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",
}
NARROW = "cvt.rn.bf16x2.f32"


def multiply_add(precision: str, sums: Sequence[Any], left: Sequence[Any], right: Sequence[Any]) -> tirx.Stmt:
    """All threads of a warp add the product of two small matrices to a third, each holding some elements of the three
    in registers."""
    return tirx.Evaluate(script.ptx[MULTIPLY[precision]](*sums, *left, *right, *sums))


def narrow(pair: Any, low: Expression, high: Expression) -> tirx.Stmt:
    """Two float32 become one register of two bfloat16, the nearest ones."""
    return tirx.Evaluate(script.ptx[NARROW](pair, high, low))


def copy_async(shared: Any, place: Any, guard: bool | Expression) -> tirx.Stmt:
    """Starts to copy 16 bytes from ``place`` in the GPU's memory to ``shared`` memory, or sets these to zero where the
    guard fails; past the first level of cache."""
    count = COPIED_BYTES if guard is True else tirx.if_then_else(guard, COPIED_BYTES, 0)
    addresses = tirx.address_of(shared), tirx.address_of(place)
    copy = script.ptx["cp.async.cg.shared.global"]
    return tirx.Evaluate(copy(*addresses, COPIED_BYTES, tirx.Cast("uint32", tirx.convert(count))))


def commit_copies() -> tirx.Stmt:
    """The copies that this thread has started since the last time become one group."""
    return tirx.Evaluate(script.ptx["cp.async.commit_group"]())


def wait_for_copies(others: int) -> tirx.Stmt:
    """Waits until all but this thread's last ``others`` groups of copies are done."""
    return tirx.Evaluate(script.ptx["cp.async.wait_group"](others))


def barrier() -> tirx.Stmt:
    """Waits for all threads of the block, and makes what they wrote to shared memory visible."""
    return tirx.Evaluate(tirx.op.tvm_storage_sync("shared"))
