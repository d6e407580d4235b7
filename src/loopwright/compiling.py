"""Compiling networks for deployment, from Python and as a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from loopwright import targets
from loopwright.errors import ArgumentError
from loopwright.files import replacing
from loopwright.lowering.network import BuiltNetwork, CompiledNetwork, build_network, load_machine, output_arrays
from loopwright.lowering.threads import set_threads
from loopwright.measurement.device import device_of
from loopwright.measurement.network_agreement import require_agreement, seeded_inputs, tolerance_of
from loopwright.measurement.timer import Call, Measurement, Protocol, measure
from loopwright.models.network import Network, Shape
from loopwright.prepared import ExampleInput, prepared
from loopwright.search.tuning import Tuning, tuned
from loopwright.targets.processors import links_here, require_runnable, runs_here
from loopwright.targets.target import FLOAT32, Target

TIMING = Protocol(rounds=31, sample_ms=20.0)


@dataclass(frozen=True, eq=False)
class WrittenNetwork:
    """What `write_network` wrote, for inputs of these ``shapes``. ``difference`` from PyTorch, relative to the largest
    output, and ``timing`` are None where the file is for another machine."""

    path: Path
    shapes: tuple[Shape, ...]
    file_bytes: int
    weight_bytes: int
    kernels: int
    notes: tuple[str, ...]
    target: Target
    difference: float | None = None
    timing: Measurement | None = None


def compile(  # noqa: A001 - what it does, and the command's name
    model: str | Path | nn.Module,
    example_input: ExampleInput | None = None,
    target: str = "cpu",
    *,
    threads: int | None = None,
    precision: str = FLOAT32,
    tune: bool = True,
    store: Path | str | None = None,
    weights: Path | str | None = None,
    seed: int = 0,
) -> CompiledNetwork:
    """The network compiled for this machine: called with PyTorch tensors or arrays, it gives the same kind.

    ``model`` is a module (in any state of training; it is compiled for evaluation and stays as it is), a folder that
    `optimize` or `train` wrote, or a name as there, initialised from ``seed``. ``weights``, a file or such a folder,
    are taken instead of its own. ``example_input`` is an input or its shape, or a tuple of inputs; shapes and types are
    fixed by it. ``threads`` is how many threads it runs on, by default as many as there are processors.
    ``precision`` is ``float32``, or on NVIDIA GPUs of sm_80 and later ``tf32`` or ``bf16``: products on tensor cores,
    their factors rounded to 10 or 7 bits of the fraction. With ``tune`` the convolutions' schedules are refined by
    timing; ``store`` keeps the timings, as in `optimize`.

    Raises `LoopwrightError`, of which the message says what would be right: `TraceError` and `CompileError` name the
    operation that stands in the way, and nothing is returned that does not compute what PyTorch does.
    """
    hardware = compile_target(target, threads, precision)
    require_runnable(hardware)
    network, module = prepared(model, example_input, seed, weights)
    return compiled_here(network, module, hardware, Tuning(tune, store))


def compiled_here(network: Network, module: nn.Module, target: Target, tuning: Tuning) -> CompiledNetwork:
    """``module``, the network's own or a transformed copy, compiled for this machine; `CompileError` where that does
    not compute what PyTorch does."""
    with tuned(network, module, target, tuning) as choose:
        compiled = CompiledNetwork(build_network(network, module, target, choose), target)
    require_agreement(network, module, compiled, tolerance=tolerance_of(target))
    return compiled


def write_network(
    model: str | Path | nn.Module,
    out: Path | str,
    example_input: ExampleInput | None = None,
    target: str = "cpu",
    *,
    threads: int | None = None,
    precision: str = FLOAT32,
    tuning: Tuning | None = None,
    weights: Path | str | None = None,
    seed: int = 0,
) -> WrittenNetwork:
    """Compiles as `compile` does and writes ``out``, which TVM's runtime runs alone: a shared library, or for another
    kind of processor an archive of objects (``.tar``) to be linked there. An older file is replaced at the end.

    The file is loaded again, held against PyTorch and timed where this machine can run it.
    """
    hardware = compile_target(target, threads, precision)
    out = Path(out)
    _require_suffix(out, hardware)
    with replacing(out) as staged:
        network, module = prepared(model, example_input, seed, weights)
        with tuned(network, module, hardware, tuning or Tuning()) as choose:
            built = build_network(network, module, hardware, choose)
        (built.export_library if links_here(hardware) else built.export_objects)(staged)
        shapes = tuple(shape for shape, _ in built.signature.inputs)
        written = WrittenNetwork(
            out, shapes, staged.stat().st_size, built.constants.memory_bytes, built.kernels, built.notes, hardware
        )
        return _checked(written, staged, network, module, built) if runs_here(hardware) else written


def compile_target(name: str, threads: int | None, precision: str = FLOAT32) -> Target:
    """The processor or GPU of that name."""
    return targets.named(name, threads, precision)


def _require_suffix(out: Path, target: Target) -> None:
    suffix = ".so" if links_here(target) else ".tar"
    if out.suffix != suffix:
        what = "a shared library" if suffix == ".so" else f"an archive of objects to link on a {target.name} machine"
        raise ArgumentError(f"{out}: what is written for {target.name} is {what}; name it *{suffix}")


def _checked(
    written: WrittenNetwork, staged: Path, network: Network, module: nn.Module, built: BuiltNetwork
) -> WrittenNetwork:
    """The same with what a fresh machine makes of the file; raises `CompileError` if that is not what PyTorch makes."""
    set_threads(written.target.threads)
    machine = load_machine(staged, written.target)

    def call(*inputs: torch.Tensor) -> Call:
        return partial(machine.main, *map(machine.tensor, built.signature.arrays(inputs)))

    difference = require_agreement(
        network, module, lambda *inputs: output_arrays(call(*inputs)()), tolerance=tolerance_of(written.target)
    )
    clock = device_of(written.target).network_clock
    [timing] = measure([call(*seeded_inputs(network))], TIMING, clock)
    return replace(written, difference=difference, timing=timing)
