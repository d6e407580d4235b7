"""Kernels as shared libraries in a folder, so that many processes build them and another times them.

One process builds one kernel after the other: writing a kernel down holds the interpreter's lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue

import tvm

from loopwright import __version__
from loopwright.errors import ArgumentError
from loopwright.ir.contraction import OperatorForm
from loopwright.isolation import FaultError, Isolated
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.kernel import Kernel, build_kernel
from loopwright.lowering.schedules.backend import Schedule
from loopwright.measurement.build import Compiled, executable
from loopwright.targets.cpu import usable_processors
from loopwright.targets.target import Target


def kernel_folder(folder: Path | str, target: Target) -> Path:
    """The folder, made if it is not there yet, for the kernels of a GPU. Raises `ArgumentError` for another target, or
    what can't be a folder."""
    if target.gpu is None:
        raise ArgumentError(f"kernels are kept for GPUs alone, and target {target.name} is none; leave kernels out")
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(f"{path} can't be a folder of kernels: {error.strerror}; name another") from None
    return path


@dataclass(frozen=True)
class Wanted:
    """A kernel: of ``form`` for ``n`` images with an ``epilogue``, on a ``target``, under a ``schedule``."""

    form: OperatorForm
    n: int
    epilogue: Epilogue
    target: Target
    schedule: Schedule

    @property
    def key(self) -> str:
        """Equal for kernels that are the same code, made by the same versions."""
        target = json.dumps(self.target.identity, sort_keys=True)
        made_by = f"{__version__} {version('apache-tvm')}"
        text = f"{self.form.key} n={self.n} {self.epilogue} {target} {self.schedule} {made_by}"
        return sha256(text.encode()).hexdigest()[:24]

    def kernel(self) -> Kernel:
        """Its code and how its weights are packed."""
        return build_kernel(self.form, self.n, self.epilogue, self.target, self.schedule)


@dataclass(frozen=True)
class KernelFiles:
    """A folder of built kernels."""

    folder: Path

    def path(self, wanted: Wanted) -> Path:
        """Where the kernel is, or would be."""
        return self.folder / f"{wanted.key}.so"

    def load(self, wanted: Wanted) -> Compiled | None:
        """The kernel, loaded into this process; None where it was not built."""
        path = self.path(wanted)
        return tvm.runtime.load_module(str(path))["main"] if path.exists() else None


class Builders:
    """Processes that build kernels into ``files``, one for each processor; they start with the first kernel."""

    def __init__(self, files: KernelFiles):
        self.files = files
        self._idle: SimpleQueue[Isolated] = SimpleQueue()
        self._processes = [Isolated() for _ in range(usable_processors())]
        for process in self._processes:
            self._idle.put(process)
        self._threads: ThreadPoolExecutor | None = None

    def build(self, kernels: Iterable[Wanted]) -> Iterator[Wanted]:
        """Builds those that are not there yet, several at once; gives each once it is there or was tried.

        One that can't be built is left to whoever compiles it by itself, and says why.
        """
        missing = []
        for own in kernels:
            if self.files.path(own).exists():
                yield own
            else:
                missing.append(own)
        if missing:
            # a process ends with the thread that started it
            self._threads = self._threads or ThreadPoolExecutor(len(self._processes))
            yield from self._threads.map(self._tried, missing)

    def _tried(self, wanted: Wanted) -> Wanted:
        process = self._idle.get()
        with suppress(FaultError):
            process.call(write_kernel, wanted, self.files.path(wanted))
        self._idle.put(process)
        return wanted

    def close(self) -> None:
        """Ends the processes; what is still to be built starts others."""
        for process in self._processes:
            process.close()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None


def write_kernel(wanted: Wanted, path: Path) -> None:
    """Compiles and links the kernel to ``path``, which appears once it is complete; not if that fails."""
    written = path.with_suffix(f".{os.getpid()}.so")
    with suppress(RuntimeError, ValueError, TypeError, OSError):  # what TVM's compiler and the linker raise
        executable(wanted.kernel().primfunc, wanted.target).export_library(str(written))
        written.rename(path)
