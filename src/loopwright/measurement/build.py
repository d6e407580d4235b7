"""From a TIR function to something that runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import tirx

from loopwright.lowering.threads import set_threads
from loopwright.targets.target import Target

Compiled = Callable[..., None]


def compile_function(primfunc: tirx.PrimFunc, target: Target) -> Compiled:
    """The function compiled for ``target`` and loaded into this process; it takes `tvm.runtime.tensor` arguments."""
    set_threads(target.threads)
    executable: Any = tvm.compile(primfunc, tvm.target.Target(target.tvm_target))
    return executable.jit()[primfunc.attrs["global_symbol"]]


def assembly(primfunc: tirx.PrimFunc, target: Target) -> str:
    """The machine code of the function, as text."""
    executable: Any = tvm.compile(primfunc, tvm.target.Target(target.tvm_target))
    return str(executable.mod.inspect_source("asm"))
