"""Under which settings TVM's passes run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tvm

from loopwright.targets.target import Target

COMPACTION = "s_tir.CompactBufferAllocation"
"""Looks for the parts of buffers that are used, and takes half of the time that TVM needs for a kernel of minimal
filtering. Our kernels use all of theirs; on GPUs TVM's own schedules of what we don't schedule rely on it."""


def pass_context(target: Target, config: Mapping[str, Any] | None = None) -> tvm.transform.PassContext:
    """To be entered where code for ``target`` is compiled, with TVM's options ``config``."""
    return tvm.transform.PassContext(
        config=dict(config or {}), disabled_pass=[COMPACTION] if target.gpu is None else []
    )
