"""A traced network as one Relax function, and the values of the parameters that a module has now.

Batch norms, functional calls and reshapes come out as `torch.export` and TVM's importer have them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
import tvm
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind, TensorArgument
from tvm import relax
from tvm.relax.frontend.torch import from_exported_program

from loopwright.errors import CompileError
from loopwright.lowering.core_operations import over_core_operations
from loopwright.lowering.decompositions import decompositions
from loopwright.models import reading, reads, usercode
from loopwright.models.network import Network


@dataclass(frozen=True, eq=False)
class ImportedNetwork:
    """``function`` takes the network's ``input_count`` inputs, then its parameters; ``parameters`` has their values by
    their names."""

    function: relax.Function
    input_count: int
    parameters: Mapping[str, np.ndarray]

    @property
    def inputs(self) -> list[relax.Var]:
        return list(self.function.params[: self.input_count])

    @property
    def bindings(self) -> list[relax.VarBinding]:
        """All calls, in order."""
        return [binding for block in self.function.body.blocks for binding in block.bindings]

    @property
    def output(self) -> relax.Expr:
        return self.function.body.body


def import_network(network: Network, module: nn.Module) -> ImportedNetwork:
    """The trace of ``network`` with the parameters and buffers of ``module``, in evaluation mode.

    ``module`` is the network's or a transformed copy of it; a transformed layer's weight is the traced one's here.
    Raises `CompileError` naming what TVM's importer can't represent, and the layer.
    """
    _require_representable(network)
    program = _decomposed(network.program)
    _require_stateless(program, network.name)
    _take_state(program, network.program.state_dict)
    _take_state(program, {name: own.detach() for name, own in module.state_dict(keep_vars=True).items()})
    try:
        imported = from_exported_program(
            program, keep_params_as_input=True, unwrap_unit_return_tuple=True, run_ep_decomposition=False
        )
    except (*usercode.FAILURES, tvm.error.InternalError) as error:
        raise CompileError(f"cannot compile {network.name}: {_reason(error, program)}") from error
    simplify = [relax.transform.CanonicalizeBindings(), relax.transform.DeadCodeElimination()]
    function = tvm.transform.Sequential(simplify)(imported)["main"]
    return ImportedNetwork(function, int(function.attrs["num_input"]), _parameters(program))


def _require_representable(network: Network) -> None:
    """Raises `CompileError` for what the importer would get wrong without a word."""
    for spec in network.program.graph_signature.output_specs:
        if not isinstance(spec.arg, TensorArgument):
            raise CompileError(f"cannot compile {network.name}: it returns {spec.arg.value!r}, which is no tensor")
    for node in network.program.graph.nodes:
        if _multiplies(node) and (obstacle := reading.type_obstacle(node.all_input_nodes[0])):
            raise CompileError(f"cannot compile {network.name}: {_place(node)}: {obstacle}")
        if _picks_indices(node):
            raise CompileError(
                f"cannot compile {network.name}: {_place(node.all_input_nodes[0])} returns the places of its maxima, "
                "which TVM's importer leaves out"
            )


def _require_stateless(program: ExportedProgram, name: str) -> None:
    """Raises `CompileError` where a buffer or an input has another value after the call: compiled code keeps both."""
    for spec in program.graph_signature.output_specs:
        if spec.kind != OutputKind.USER_OUTPUT:
            raise CompileError(f"cannot compile {name}: it changes its own {spec.target} when it runs")


def _multiplies(node: fx.Node) -> bool:
    """Whether it is a convolution or a linear layer, of which the importer takes the results for float32."""
    kind = reads.kind(node) if node.op == "call_function" else ""
    return kind == "linear" or kind.startswith("conv")


def _picks_indices(node: fx.Node) -> bool:
    """Whether it is the second output of a pooling, and in use."""
    if node.op != "call_function" or getattr(node.target, "__name__", "") != "getitem" or node.args[1] == 0:
        return False
    source = node.all_input_nodes[0]
    return "max_pool" in reads.kind(source) and bool(node.users)


def _place(node: fx.Node) -> str:
    """The operation and the layer that calls it."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    layer = stack[-1][0] if stack else ""
    return f"{reads.kind(node)}{f' of layer {layer!r}' if layer else ''}"


def _reason(error: BaseException, program: ExportedProgram) -> str:
    """The importer's complaint; of operations that it lacks, with the layers that call them."""
    missing = re.findall(r"'([^']+)'", str(error)) if "Unsupported function types" in str(error) else []
    nodes = [node for node in program.graph.nodes if getattr(node.target, "__name__", "") in missing]
    places = list(dict.fromkeys(_place(node) for node in nodes))
    return f"TVM's importer lacks {', '.join(places)}" if places else usercode.first_line(error)


_DECOMPOSED: WeakKeyDictionary[ExportedProgram, ExportedProgram] = WeakKeyDictionary()


def _decomposed(program: ExportedProgram) -> ExportedProgram:
    """The program over PyTorch's core operations, a copy; the same one every time."""
    if program not in _DECOMPOSED:
        _DECOMPOSED[program] = over_core_operations(program) or _traced_again(program)
    return _DECOMPOSED[program]


def _traced_again(program: ExportedProgram) -> ExportedProgram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return program.run_decompositions(decompositions())


def _take_state(program: ExportedProgram, state: Mapping[str, torch.Tensor]) -> None:
    """Puts these parameters and buffers into the decomposed program, which has a dictionary of its own."""
    program.state_dict.update({name: own for name, own in state.items() if name in program.state_dict})


def _parameters(program: ExportedProgram) -> dict[str, np.ndarray]:
    names = program.graph_signature.inputs_to_parameters
    return {name: program.state_dict[target].detach().cpu().numpy() for name, target in names.items()}
