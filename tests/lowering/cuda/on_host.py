"""Runs generated CUDA code without a GPU: compiled as C++, the threads of a block taking turns between barriers."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import tvm
from tvm import tirx
from tvm.tirx import ForKind
from tvm.tirx.buffer import is_buffer_var

from loopwright.targets.target import Target

SHARED = re.compile(r"extern __shared__ __align__\(\d+\) (\w+) (\w+)\[\];")
WAIT = re.compile(r"(tvm_builtin_ptx_cp_async_wait_group_async_wait_group_(\d+))")
HEADER = Path(__file__).parent / "on_host.h"
SIGNATURE = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(([^)]*)\) \{')


@dataclass(frozen=True)
class Launch:
    """A kernel of a function, and how many blocks and threads it is for."""

    blocks: int
    threads: int


def source_of(primfunc: tirx.PrimFunc, target: Target) -> str:
    """The CUDA source of a function's kernels, with what they call."""
    executable = tvm.compile(primfunc, tvm.target.Target(target.tvm_target))
    return str(executable.mod.imports[0].inspect_source())


def host_source(source: str) -> str:
    """The kernels alone, as C++: ``on_host.h`` has what they call, and memory for arrays whose size they are told."""
    kernels = SHARED.sub(r"\1* \2 = (\1*)dynamic_shared;", source[source.index('extern "C"') :])
    found = set(WAIT.findall(kernels))
    waits = "\n".join(f"static void {name}() {{ wait_group({number}); }}" for name, number in found)
    return f"{waits}\n{kernels}"


def launches(primfunc: tirx.PrimFunc) -> list[Launch]:
    """The kernels in the order in which they run."""
    extents = [
        (str(loop.thread_binding.thread_tag), int(loop.extent))
        for loop in _outermost_first(primfunc.body)
        if loop.kind == ForKind.THREAD_BINDING
    ]
    found: list[dict[str, int]] = []
    for axis, extent in extents:
        if axis == "blockIdx.x":
            found.append({})
        found[-1][axis] = extent
    return [Launch(own["blockIdx.x"], own.get("threadIdx.x", 1)) for own in found]


def _outermost_first(statement: object) -> Iterator[tirx.For]:
    """All loops, in the order of the code."""
    if isinstance(statement, tirx.For):
        yield statement
        yield from _outermost_first(statement.body)
    elif isinstance(statement, tirx.SeqStmt):
        for part in statement.seq:
            yield from _outermost_first(part)
    elif isinstance(statement, tirx.IfThenElse):
        yield from _outermost_first(statement.then_case)


def on_host(primfunc: tirx.PrimFunc, target: Target, folder: Path) -> Callable[..., None]:
    """The function on arrays of the host; it takes them in the order of its parameters."""
    source = host_source(source_of(primfunc, target))
    kernels = list(SIGNATURE.finditer(source))
    runs = launches(primfunc)
    assert len(kernels) == len(runs)
    parameters = {own.name: "float*" if is_buffer_var(own) else "int" for own in primfunc.params}
    kept = {buffer.name: prod(map(int, buffer.shape)) for buffer in _allocated(primfunc.body)}
    calls = [_call(*pair, parameters.keys() | kept.keys()) for pair in zip(kernels, runs, strict=True)]
    pointers = "\n".join(f"static {kind} {name}_given;" for name, kind in parameters.items())
    workspaces = "\n".join(f"static float {name}_given[{size}];" for name, size in kept.items())
    arguments = ", ".join(f"{kind} {name}" for name, kind in parameters.items())
    assigned = " ".join(f"{name}_given = {name};" for name in parameters)
    text = "\n".join([
        f'#include "{HEADER}"', source, pointers, workspaces,
        f'extern "C" int run({arguments}) {{ {assigned} return {" && ".join(calls)}; }}',
    ])  # fmt: skip
    path = folder / "kernel.cpp"
    path.write_text(text)
    library = folder / f"{abs(hash(text))}.so"
    subprocess.run(["g++", "-O0", "-w", "-shared", "-fPIC", str(path), "-o", str(library)], check=True)
    run = ctypes.CDLL(str(library)).run

    def call(*arguments: object) -> None:
        """Takes arrays and numbers; those written are the last array's elements."""
        given = [own if isinstance(own, int) else _array(own) for own in arguments]
        passed = [own if isinstance(own, int) else own.ctypes.data_as(ctypes.c_void_p) for own in given]
        assert run(*passed), "threads of a block part at a barrier"
        last = arguments[-1]
        np.copyto(last, given[-1]) if isinstance(last, np.ndarray) else last.copyfrom(given[-1])

    return call


def _array(given: object) -> np.ndarray:
    array = given if isinstance(given, np.ndarray) else given.numpy()
    return np.ascontiguousarray(array, np.float32)


def _call(kernel: re.Match[str], run: Launch, known: set[str]) -> str:
    given = [own.rsplit(maxsplit=1) for own in kernel[2].replace("__restrict__", "").split(",")]
    names = [name.removesuffix("_ptr") for _, name in given]
    assert set(names) <= known, (names, known)
    arguments = ", ".join(f"({kind}){name}_given" for (kind, _), name in zip(given, names, strict=True))
    return f"launch({run.blocks}, {run.threads}, [] {{ {kernel[1]}({arguments}); }})"


def _allocated(body: tirx.Stmt) -> list[tirx.Buffer]:
    """Buffers between kernels."""
    parts = list(body.seq) if isinstance(body, tirx.SeqStmt) else [body]
    return [part.buffer for part in parts if isinstance(part, tirx.AllocBuffer)]
