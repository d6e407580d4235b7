"""A traced network as one Relax function, and the values of the parameters that a module has now.

Batch norms, functional calls and reshapes come out as `torch.export` and TVM's importer have them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tvm
from torch import nn
from torch.export import ExportedProgram
from tvm import relax
from tvm.relax.frontend.torch import from_exported_program

from loopwright.models.network import Network


@dataclass(frozen=True, eq=False)
class ImportedNetwork:
    """``function`` takes the network's input, then its parameters; ``parameters`` has the value of each by its name."""

    function: relax.Function
    parameters: Mapping[str, np.ndarray]

    @property
    def input(self) -> relax.Var:
        return self.function.params[0]

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
    """
    program = _decomposed(network.program)
    _take_state(program, module)
    imported = from_exported_program(
        program, keep_params_as_input=True, unwrap_unit_return_tuple=True, run_ep_decomposition=False
    )
    simplify = [relax.transform.CanonicalizeBindings(), relax.transform.DeadCodeElimination()]
    function = tvm.transform.Sequential(simplify)(imported)["main"]
    return ImportedNetwork(function, _parameters(program))


def _decomposed(program: ExportedProgram) -> ExportedProgram:
    """The program over PyTorch's core operations, a copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return program.run_decompositions()


def _take_state(program: ExportedProgram, module: nn.Module) -> None:
    """Puts the module's parameters and buffers into the decomposed program, which has a dictionary of its own."""
    state = module.state_dict(keep_vars=True)
    for name in program.state_dict.keys() & state.keys():
        program.state_dict[name] = state[name].detach()


def _parameters(program: ExportedProgram) -> dict[str, np.ndarray]:
    names = program.graph_signature.inputs_to_parameters
    return {name: program.state_dict[target].detach().cpu().numpy() for name, target in names.items()}
