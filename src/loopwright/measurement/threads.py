"""The thread pool that compiled kernels run on."""

from __future__ import annotations

import os

import tvm

SHARE_ALL_PROCESSORS = -3


def set_threads(threads: int) -> None:
    """Lets kernels use ``threads`` threads; by default TVM takes half of the processors. Has to come before the first
    kernel that runs in a process, since the pool does not grow later."""
    processors = [str(processor) for processor in sorted(os.sched_getaffinity(0))]
    configure = tvm.get_global_func("runtime.config_threadpool")
    configure(SHARE_ALL_PROCESSORS, threads, processors, max(threads, len(processors)))
