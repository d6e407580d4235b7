"""Machine code of a network's functions, compiled on all processors at once.

TVM compiles the functions of a module one after another, and writes machine code only when the library is exported.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tvm
from tvm import tirx

from loopwright.lowering.passes import pass_context
from loopwright.targets.cpu import usable_processors
from loopwright.targets.target import Target


def objects(module: tvm.IRModule, target: Target, threads: int | None = None) -> list[tvm.runtime.Module]:
    """Each function of ``module``, all of them primitive ones, as an object of a processor, ready to be linked;
    compiled by so many ``threads``, without it one for each processor."""

    def compiled(name: tvm.ir.GlobalVar) -> tvm.runtime.Module:
        return _object(name.name_hint, module[name], target)

    with ThreadPoolExecutor(threads or usable_processors()) as pool:
        return list(pool.map(compiled, module.get_global_vars()))


def _object(name: str, function: tirx.PrimFunc, target: Target) -> tvm.runtime.Module:
    of_tvm = tvm.target.Target(target.tvm_target)
    with of_tvm, pass_context(target):
        built = tirx.build(tvm.IRModule({name: function}), of_tvm)
    with tempfile.TemporaryDirectory(prefix="loopwright-") as folder:
        path = str(Path(folder) / "function.o")
        built.write_to_file(path, "o")
        return tvm.runtime.load_static_library(path, [name])
