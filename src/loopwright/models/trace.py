"""Any module with an example input -> a `Network`, by `torch.export` in evaluation mode; the module stays as it was."""

from __future__ import annotations

import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from loopwright.errors import TraceError
from loopwright.models import usercode
from loopwright.models.calls import Calls
from loopwright.models.modes import evaluating
from loopwright.models.network import Layer, Network


def trace(
    module: nn.Module, example_input: torch.Tensor | tuple[torch.Tensor, ...], name: str | None = None
) -> Network:
    """Traces ``module`` on ``example_input`` (N, C, H, W), or on several; ``name`` defaults to that of the module's
    class.

    Only shapes and types of the inputs matter. Mode, parameters, buffers and random state of the module are left as
    they were.
    Raises TraceError with the operation and its line if the module can't be traced.
    """
    name = name or type(module).__name__
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    program = exported(module, inputs, name)
    calls = Calls(program, module)
    layers = _layers(calls)
    weights = {layer.name: calls.weight_name(calls.node(layer.node)) for layer in layers if layer.transformable}
    return Network(name, module, tuple(inputs[0].shape), program, layers, weights)


def exported(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], name: str, dynamic_shapes: Any = None
) -> ExportedProgram:
    """The program of ``module`` in evaluation mode, which stays as it is; ``dynamic_shapes`` as `torch.export.export`
    takes them. Raises TraceError as `trace` does."""
    try:
        with evaluating(module), _quiet(), torch.random.fork_rng(devices=[]):
            program = torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes)
            if _has_gradients_switched(program):  # where there are none at all, no block is without
                with torch.no_grad():
                    program = torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes)
            return program
    except usercode.FAILURES as error:
        operation = usercode.where(error) or "an operation of PyTorch itself"
        raise TraceError(f"cannot trace {name} at {operation}: {usercode.first_line(error)}") from error


def _has_gradients_switched(program: ExportedProgram) -> bool:
    """Whether a block under `torch.no_grad()` or the like is one call of the program."""
    return any(str(node.target) == "wrap_with_set_grad_enabled" for node in program.graph.nodes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, PyTorch's tracer keeps warnings and partial graphs to itself; what fails is told in the TraceError."""
    logger = logging.getLogger("torch.fx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _layers(calls: Calls) -> tuple[Layer, ...]:
    taken: Counter[str] = Counter()
    seen: set[str] = set()
    return tuple(_layer(calls, node, taken, seen) for node in calls.nodes)


def _layer(calls: Calls, node: fx.Node, taken: Counter[str], seen: set[str]) -> Layer:
    name = calls.layer_name(node)
    taken[name] += 1
    return Layer(
        name=name if taken[name] == 1 else f"{name}@{taken[name]}",
        kind=calls.kind(node),
        node=node.name,
        input_shapes=calls.input_shapes(node),
        output_shape=calls.output_shape(node),
        macs=calls.macs(node),
        parameters=_new_parameters(calls, node, seen),
        operator=calls.operator(node),
        reason=calls.reason(node),
    )


def _new_parameters(calls: Calls, node: fx.Node, seen: set[str]) -> int:
    """Elements of the parameters that this call is the first to read."""
    fresh = {target: parameter for target, parameter in calls.parameters(node).items() if target not in seen}
    seen.update(fresh)
    return sum(parameter.numel() for parameter in fresh.values())
