"""Exporting networks as files that other software runs, each loaded again and held against the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from loopwright.compiling import write_network
from loopwright.errors import ArgumentError
from loopwright.files import replacing
from loopwright.lowering.onnx_file import load_onnx, require_onnx, write_onnx
from loopwright.lowering.torch_program import load_program, network_program, write_program
from loopwright.measurement.network_agreement import Inputs, compared_inputs, require_agreement
from loopwright.models.network import Network
from loopwright.prepared import ExampleInput, prepared
from loopwright.registry import unknown
from loopwright.report import formats
from loopwright.search.tuning import Tuning

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "tvm": ".so"}
"""The formats, and how their files are named; for another kind of processor than this machine's, TVM's is ``.tar``."""
TOLERANCE = 1e-4
"""Largest difference of an ONNX or a torch file from PyTorch, relative to the largest output."""


@dataclass(frozen=True)
class ExportedNetwork:
    """What `export` wrote. ``shapes`` are those of its inputs, the first extent ``None`` for any number of images.
    ``difference`` from PyTorch is the largest one relative to the largest output, as the file ran in ``runtime``; it is
    None where the file is for another machine."""

    path: Path
    format: str
    file_bytes: int
    shapes: tuple[tuple[int | None, ...], ...]
    runtime: str
    difference: float | None


def export(
    model: str | Path | nn.Module,
    out: Path | str,
    example_input: ExampleInput | None = None,
    *,
    format: str,  # noqa: A002 - the option's name
    dynamic_batch: bool = False,
    target: str = "cpu",
    threads: int | None = None,
    tune: bool = True,
    store: Path | str | None = None,
    weights: Path | str | None = None,
    seed: int = 0,
    advance: Callable[[], None] | None = None,
) -> ExportedNetwork:
    """Writes a network, with its weights and for evaluation, as the file ``out``. An older file is replaced at the end.

    ``model``, ``example_input``, ``weights`` and ``seed`` are as for `compile`. ``format`` is

    - ``onnx``: standard ONNX operators (needs ``loopwright[onnx]``),
    - ``torch``: a program that ``torch.export.load`` reads without Loopwright,
    - ``tvm``: the shared library of `compile`, for ``target``, ``threads``, ``tune`` and ``store`` as there;
      ``advance`` is called after each operator that was timed.

    ``dynamic_batch`` lets the first two take any number of images. The file is loaded again and held against PyTorch on
    random inputs and sample images: above 1e-4 of the largest output (1e-3 for ``tvm``) nothing is left of it.

    Raises `LoopwrightError`, of which the message says what would be right.
    """
    out = Path(out)
    if format not in SUFFIXES:
        raise unknown("format", format, SUFFIXES)
    if format == "tvm":
        if dynamic_batch:
            raise ArgumentError("a shared library takes one number of images; leave out the dynamic batch")
        written = write_network(
            model,
            out,
            example_input,
            target,
            threads=threads,
            tuning=Tuning(tune, store, advance),
            weights=weights,
            seed=seed,
        )
        runtime = f"tvm, {formats.hardware(written.target)}"
        return ExportedNetwork(out, format, written.file_bytes, written.shapes, runtime, written.difference)
    if format == "onnx":
        require_onnx()
    if out.suffix != SUFFIXES[format]:
        raise ArgumentError(f"{out}: name a file of the format {format} *{SUFFIXES[format]}")
    with replacing(out) as staged:
        network, module = prepared(model, example_input, seed, weights)
        program = network_program(network, module, dynamic_batch=dynamic_batch)
        run, runtime = _written(format, program, staged, dynamic_batch)
        inputs = compared_inputs(network)
        if dynamic_batch:
            inputs += [of_any for own in inputs for of_any in _other_batches(own)]
        difference = require_agreement(network, module, run, inputs, what=f"the {format} file of", tolerance=TOLERANCE)
        return ExportedNetwork(out, format, staged.stat().st_size, _shapes(network, dynamic_batch), runtime, difference)


def _written(
    kind: str,
    program: torch.export.ExportedProgram,
    path: Path,
    dynamic_batch: bool,
) -> tuple[Callable[..., Any], str]:
    """Writes the file; the network as it is in it, and what that runs in."""
    if kind == "onnx":
        write_onnx(program, path, dynamic_batch=dynamic_batch)
        return load_onnx(path)
    write_program(program, path)
    return load_program(path), f"torch {torch.__version__}"


def _other_batches(inputs: Inputs) -> list[Inputs]:
    """Some images of the inputs: one, and one more than there are."""
    return [tuple(value[:1] for value in inputs), tuple(torch.cat([value, value[:1]]) for value in inputs)]


def _shapes(network: Network, dynamic_batch: bool) -> tuple[tuple[int | None, ...], ...]:
    shapes = [tuple(value.shape) for value in network.program.example_inputs[0]]
    return tuple((None, *shape[1:]) if dynamic_batch else shape for shape in shapes)
