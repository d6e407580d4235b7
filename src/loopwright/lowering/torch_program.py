"""A network as a program of `torch.export`, which PyTorch loads and runs without this package."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from loopwright.errors import ArgumentError, TraceError
from loopwright.models import usercode
from loopwright.models.network import Network
from loopwright.models.trace import exported

BATCH = "batch"


def network_program(network: Network, module: nn.Module, *, dynamic_batch: bool = False) -> ExportedProgram:
    """The program of ``module``, the network's own or a transformed copy, in evaluation mode on the processor, for
    inputs of the traced shapes; with ``dynamic_batch`` for any number of images, the first axis of all inputs.

    Raises TraceError, and `ArgumentError` for a network that does not take any number of images.
    """
    module, inputs = copy.deepcopy(module).cpu().requires_grad_(False), network.program.example_inputs[0]
    if not dynamic_batch:
        return _without_places(exported(module, inputs, network.name))
    if any(value.ndim == 0 for value in inputs):
        raise ArgumentError(f"{network.name} has an input without a batch; leave out the dynamic batch")
    several = tuple(torch.cat([value, value]) for value in inputs)  # a batch of 1 would be taken as fixed
    try:
        return _without_places(exported(module, several, network.name, batch_axes(len(several))))
    except TraceError as error:
        reason = usercode.first_line(error.__cause__ or error)
        raise ArgumentError(
            f"{network.name} does not take any number of images ({reason}); leave out the dynamic batch"
        ) from error


def batch_axes(inputs: int) -> Any:
    """Any number of images in each of so many inputs, as `torch.export.export` takes it."""
    images = torch.export.Dim(BATCH)
    return tuple({0: images} for _ in range(inputs))


def write_program(program: ExportedProgram, path: Path) -> None:
    """Writes the ``.pt2`` file."""
    torch.export.save(program, path)


def load_program(path: Path) -> Callable[..., Any]:
    """The network of the file, called with tensors."""
    return torch.export.load(path).module()


def _without_places(program: ExportedProgram) -> ExportedProgram:
    """The same without the lines of source, with their folders, that its operations come from."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program
