"""A whole network -> one compiled artefact: our kernels in blocked layout, batch norm folded, weights packed ahead."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock, local
from typing import Any

import numpy as np
import torch
import tvm
from torch import nn
from torch.utils import _pytree as pytree
from tvm import relax
from tvm.relax import vm_build
from tvm.relax.backend.cpu_generic import pipeline as cpu_passes
from tvm.relax.backend.cuda import pipeline as gpu_passes
from tvm.support import cc, tar

from loopwright.errors import ArgumentError, CompileError
from loopwright.lowering.fallback import schedule_fallbacks
from loopwright.lowering.linked_constants import SOURCE_FILE, LinkedConstants, link_options
from loopwright.lowering.network_kernels import NetworkKernels, ScheduleChoice
from loopwright.lowering.objects import objects
from loopwright.lowering.passes import pass_context
from loopwright.lowering.relax_import import import_network
from loopwright.lowering.rewriting import Rewriting
from loopwright.lowering.threads import set_threads
from loopwright.models import usercode
from loopwright.models.network import Network, Shape
from loopwright.targets.target import Target

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Signature:
    """What a network takes and gives: shapes and NumPy types of its inputs, and how its outputs are nested."""

    inputs: tuple[tuple[Shape, str], ...]
    outputs: pytree.TreeSpec

    def arrays(self, inputs: tuple[Any, ...]) -> Arrays:
        """The inputs as arrays; raises `ArgumentError` where their number, a shape or a type is not the traced one."""
        if len(inputs) != len(self.inputs):
            raise ArgumentError(f"the network takes {len(self.inputs)} inputs, not {len(inputs)}")
        return tuple(_array(value, *expected) for value, expected in zip(inputs, self.inputs, strict=True))


def _array(value: Any, shape: Shape, dtype: str) -> np.ndarray:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.shape != shape:
        raise ArgumentError(f"the network was compiled for an input of shape {shape}, not {array.shape}")
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise ArgumentError(f"the network was compiled for an input of {dtype}, not {array.dtype}")
    return np.ascontiguousarray(array, dtype)


@dataclass(frozen=True, eq=False)
class LoweredNetwork:
    """A network as TVM's compiler takes it, every kernel chosen.

    ``kernels`` counts the different kernels of ours; ``notes`` say which operations were left to TVM's own lowering.
    """

    name: str
    module: tvm.IRModule
    target: Target
    signature: Signature
    notes: tuple[str, ...]

    @property
    def kernels(self) -> int:
        return sum(not isinstance(function, relax.Function) for function in self.module.functions.values())

    def build(self, threads: int | None = None) -> BuiltNetwork:
        """Runs TVM's compiler, on so many ``threads`` or all processors; raises `CompileError` where that fails."""
        constants = LinkedConstants()
        try:
            executable = _build(self.module, self.target, constants, threads)
        except (RuntimeError, ValueError, TypeError) as error:  # what TVM's passes and code generator raise
            raise CompileError(f"cannot compile {self.name}: {str(error).strip().splitlines()[-1]}") from error
        return BuiltNetwork(executable, constants, self.signature, self.kernels, self.notes)


@dataclass(frozen=True, eq=False)
class BuiltNetwork:
    """Machine code and constants of a network for any target, not yet linked; the rest as of `LoweredNetwork`."""

    executable: tvm.runtime.Executable
    constants: LinkedConstants
    signature: Signature
    kernels: int
    notes: tuple[str, ...]

    @property
    def weight_bytes(self) -> int:
        return self.constants.memory_bytes

    def export_library(self, path: Path) -> None:
        """Links code and constants to one shared library, which TVM's runtime loads; needs a C compiler."""
        self._export(path, _link)

    def export_objects(self, path: Path) -> None:
        """Writes the objects, and the source of the constants, as one ``.tar`` to link on the target's machine."""
        self._export(path, tar.tar)

    def _export(self, path: Path, write: Callable[..., None]) -> None:
        with tempfile.TemporaryDirectory(prefix="loopwright-") as name:
            written = self.constants.write_source(Path(name))
            addons = [str(own) for own in (written[:1] if write is _link else written)]  # the linker finds the data
            self.executable.export_library(str(path), fcompile=write, addons=addons, workspace_dir=name)


def _link(path: str, files: list[str], **_: Any) -> None:
    """TVM's ``fcompile``: a shared library out of objects and C files, compiled in the folder of the latter."""
    try:
        options = link_options() if any(Path(own).name == SOURCE_FILE for own in files) else []
        cc.create_shared(str(Path(path).absolute()), files, options, cwd=str(Path(files[0]).parent))
    except (RuntimeError, OSError, ValueError) as error:
        raise CompileError(
            f"the network can't be linked: {usercode.first_line(error)}; a C++ compiler is needed"
        ) from error


@dataclass(frozen=True, eq=False)
class LinkedNetwork:
    """A network as a shared library, which is moved to where it is exported; the rest as of `LoweredNetwork`."""

    library: Path
    signature: Signature
    kernels: int
    notes: tuple[str, ...]
    weight_bytes: int

    def export_library(self, path: Path) -> None:
        """Moves the library to ``path``."""
        shutil.move(self.library, path)


class CompiledNetwork:
    """A network that runs in TVM, linked and loaded as it will be deployed.

    ``notes`` say which operations were left to TVM's own lowering; ``kernels`` counts the different kernels of ours.
    """

    def __init__(self, built: BuiltNetwork | LinkedNetwork, target: Target):
        self.notes, self.kernels = built.notes, built.kernels
        self.input_shape = built.signature.inputs[0][0]
        self.weight_bytes = built.weight_bytes
        self.signature = built.signature
        self._target, self._lock, self._caller = target, Lock(), local()
        self._folder = tempfile.TemporaryDirectory(prefix="loopwright-")
        self._library = Path(self._folder.name) / "network.so"
        built.export_library(self._library)
        self._prepare_thread()
        self._machine = load_machine(self._library, target)

    def __call__(self, *inputs: Any) -> Any:
        """What the module returns for ``inputs`` of the traced shapes and types, nested as the module nests it.

        Tensors of PyTorch give tensors, arrays give arrays. Calls of several threads wait for each other. Raises
        `ArgumentError` for inputs of another shape or type.
        """
        run = self.runner(*inputs)
        with self._lock:
            self._prepare_thread()
            outputs = output_arrays(run())
        if any(isinstance(value, torch.Tensor) for value in inputs):
            return pytree.tree_unflatten([torch.from_numpy(output) for output in outputs], self.signature.outputs)
        return pytree.tree_unflatten(list(outputs), self.signature.outputs)

    def runner(self, *inputs: Any) -> Callable[[], Any]:
        """A function without arguments that runs the network on ``inputs`` once, copying nothing: for timing, in the
        thread that compiled the network, while no other runs it."""
        arrays = self.signature.arrays(inputs)
        return partial(self._machine.main, *map(self._machine.tensor, arrays))

    def _prepare_thread(self) -> None:
        """TVM has a pool of threads for each thread that calls."""
        if not getattr(self._caller, "prepared", False):
            set_threads(self._target.threads)
            self._caller.prepared = True

    def export_library(self, path: Path | str) -> None:
        """Writes code and weights as one shared library, which TVM's runtime loads."""
        shutil.copyfile(self._library, path)


@dataclass(frozen=True, eq=False)
class Machine:
    """A network of a shared library, ready to run by ``main``, of which the arguments lie on ``device``."""

    main: Callable[..., Any]
    device: Any

    def tensor(self, array: np.ndarray) -> tvm.runtime.Tensor:
        """The array where the network takes it."""
        return tvm.runtime.tensor(array, self.device)


def load_machine(library: Path, target: Target) -> Machine:
    """The network of a shared library that was compiled for ``target``."""
    device = tvm.cpu() if target.gpu is None else tvm.cuda()
    return Machine(relax.VirtualMachine(tvm.runtime.load_module(str(library)), device)["main"], device)


def open_library(path: Path, target: Target) -> Machine:
    """`load_machine` of a file that a user names; `ArgumentError` for one that is no network compiled for it."""
    if not path.is_file():
        raise ArgumentError(f"there is no file {path}; name a shared library that compile wrote")
    try:
        return load_machine(path.absolute(), target)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ArgumentError(f"{path} is no shared library that compile wrote for this machine") from error


def library_input_shape(machine: Machine) -> Shape | None:
    """The shape of the only input of the network in a library; None where it takes several or does not say."""
    try:
        machine.main(machine.tensor(np.zeros((), np.float32)))
    except (RuntimeError, ValueError, TypeError) as refusal:  # which names the shape that was expected
        found = re.search(r"R\.Tensor\(\(([\d, ]+)\)", str(refusal))
        return tuple(int(size) for size in re.findall(r"\d+", found[1])) if found else None
    return None


def output_arrays(result: Any) -> Arrays:
    """What the virtual machine returned, as arrays of their own."""
    tensors = [result] if isinstance(result, tvm.runtime.Tensor) else result
    return tuple(np.array(tensor.numpy()) for tensor in tensors)


def compile_network(
    network: Network, module: nn.Module, target: Target, choose: ScheduleChoice | None = None
) -> CompiledNetwork:
    """`build_network` for the machine this runs on, linked and loaded."""
    return CompiledNetwork(build_network(network, module, target, choose), target)


def build_network(
    network: Network, module: nn.Module, target: Target, choose: ScheduleChoice | None = None
) -> BuiltNetwork:
    """`lower_network`, compiled. Raises CompileError if an operation has no lowering."""
    return lower_network(network, module, target, choose).build()


def lower_network(
    network: Network, module: nn.Module, target: Target, choose: ScheduleChoice | None = None
) -> LoweredNetwork:
    """Lowers ``module``, the network's own or a transformed copy in any state of training, for evaluation.

    ``choose`` gives the schedules of operators; without it kernels choose themselves. Raises CompileError if an
    operation has no lowering.
    """
    kernels = NetworkKernels(network, module, target, choose)
    imported = import_network(network, module)
    rewriting = Rewriting(imported, kernels)
    signature = _signature(network, imported.inputs)
    return LoweredNetwork(network.name, rewriting.module, target, signature, tuple(rewriting.notes))


def _signature(network: Network, inputs: list[relax.Var]) -> Signature:
    expected = tuple((tuple(int(size) for size in var.ty.shape), str(var.ty.dtype)) for var in inputs)
    return Signature(expected, network.program.call_spec.out_spec)


def _build(
    module: tvm.IRModule, target: Target, constants: LinkedConstants, threads: int | None
) -> tvm.runtime.Executable:
    tvm_target = tvm.target.Target(target.tvm_target)
    passes: Any = cpu_passes if target.gpu is None else gpu_passes
    keep = constants.take_out if target.gpu is None else constants.count
    lower = [
        *passes.library_dispatch_passes(tvm_target),
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        tvm.transform.module_pass(lambda module, _: schedule_fallbacks(module, target), opt_level=0),
        *passes.dataflow_lower_passes(tvm_target),
        tvm.transform.module_pass(lambda module, _: keep(module), opt_level=0),
        *passes.finalize_passes(tvm_target),
    ]
    pipeline = tvm.transform.Sequential(lower)
    if target.gpu is not None:
        with tvm_target, pass_context(target, {"relax.backend.use_cuda_graph": True}):
            return tvm.compile(module, tvm_target, relax_pipeline=pipeline)
    with tvm_target, pass_context(target):
        builder = relax.ExecBuilder()
        code = vm_build._vmcodegen(builder, pipeline(module))
    return vm_build._vmlink(builder, tvm_target, ext_libs=objects(code, target, threads))
