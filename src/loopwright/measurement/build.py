"""From a TIR function to something that runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import tirx

from loopwright.lowering.passes import pass_context
from loopwright.lowering.threads import set_threads
from loopwright.targets.target import Target

Compiled = Callable[..., None]


def executable(primfunc: tirx.PrimFunc, target: Target) -> Any:
    """TVM's executable of the function, compiled for ``target``."""
    of_tvm = tvm.target.Target(target.tvm_target)
    with pass_context(target), of_tvm:  # where a compiler of other code than TVM's own looks for the architecture
        return tvm.compile(primfunc, of_tvm)


def compile_function(primfunc: tirx.PrimFunc, target: Target) -> Compiled:
    """The function compiled for ``target`` and loaded into this process; it takes `tvm.runtime.tensor` arguments."""
    set_threads(target.threads)
    return executable(primfunc, target).jit()[primfunc.attrs["global_symbol"]]


def assembly(primfunc: tirx.PrimFunc, target: Target) -> str:
    """The machine code of the function, as text."""
    return str(executable(primfunc, target).mod.inspect_source("asm"))
