"""The thread pool that compiled code runs on in this process."""

from __future__ import annotations

import os

import tvm

SHARE_ALL_PROCESSORS = -3
"""TVM's mode in which no thread is bound to a processor, so that PyTorch's threads in the same process stay free."""


def set_threads(threads: int) -> None:
    """Lets compiled code that this thread calls use ``threads`` threads; by default TVM takes half of the processors,
    or one.

    Has to come before the first kernel that runs in a process, since the pool does not grow later.
    """
    processors = [str(processor) for processor in sorted(os.sched_getaffinity(0))]
    configure = tvm.get_global_func("runtime.config_threadpool")
    configure(SHARE_ALL_PROCESSORS, threads, processors, max(threads, len(processors)))
