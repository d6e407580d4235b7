"""What an exported program says of each of its calls: the module it stands for, shapes, work, and parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import prod

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from loopwright.models import convolution, products, reads
from loopwright.models.network import Shape
from loopwright.models.reading import Reading
from loopwright.operators import Operator

MATRIX_PRODUCTS = {"linear": 0, "matmul": 0, "mm": 0, "bmm": 0, "addmm": 1}
"""Kinds of call that multiply matrices -> the argument whose last axis is summed over."""


READERS: dict[str, Callable[[fx.Node], Reading | None]] = {
    **dict.fromkeys(convolution.OPERATORS, convolution.read),
    "linear": products.linear,
    **dict.fromkeys(("matmul", "bmm"), products.matmul),
}
"""Kinds of call that compute an operator -> how their arguments are read."""


class Calls:
    """The tensor operations of ``program``, the trace of ``module``, in order."""

    def __init__(self, program: ExportedProgram, module: nn.Module):
        self._module = module
        self._inputs = frozenset(program.graph_signature.user_inputs)
        self._parameters = _parameters(program, module)
        self.nodes = tuple(node for node in program.graph.nodes if _is_operation(node))
        self._by_name = {node.name: node for node in self.nodes}
        readers = {node: READERS[reads.kind(node)] for node in self.nodes if reads.kind(node) in READERS}
        self._readings = {node: found for node, read in readers.items() if (found := read(node)) is not None}
        self._weight_uses = Counter(found.weight for found in self._readings.values())

    def node(self, name: str) -> fx.Node:
        return self._by_name[name]

    def kind(self, node: fx.Node) -> str:
        """``conv2d``, ``linear``, ``relu``, ...: the operation's name without overload or in-place mark."""
        return reads.kind(node)

    def layer_name(self, node: fx.Node) -> str:
        """The name of the leaf module whose work the call is, or the enclosing module's and the call's own name."""
        path, module = _innermost(node)
        if module.startswith("torch.nn.modules.") and self.kind(node).replace("_", "") in module.lower():
            return path or node.name
        return f"{path}.{node.name}".lstrip(".")

    def input_shapes(self, node: fx.Node) -> tuple[Shape, ...]:
        """Shapes of the activations that the call reads (parameters and buffers left out)."""
        activations = (arg for arg in node.all_input_nodes if arg.op != "placeholder" or arg.name in self._inputs)
        return tuple(reads.shape(arg) for arg in activations if isinstance(arg.meta.get("val"), torch.Tensor))

    def output_shape(self, node: fx.Node) -> Shape:
        """The output's shape; for a call with several outputs the first one's."""
        return reads.shape(node)

    def parameters(self, node: fx.Node) -> dict[str, nn.Parameter]:
        """The parameters that the call reads directly, under the names that the trace has for them."""
        return {arg.name: self._parameters[arg.name] for arg in node.all_input_nodes if arg.name in self._parameters}

    def weight_name(self, node: fx.Node) -> str:
        """The trace's name for the weight of an operator."""
        return self._readings[node].weight

    def macs(self, node: fx.Node) -> int:
        """Multiply-accumulates of a convolution or matrix product; 0 for all else."""
        kind = self.kind(node)
        if kind in MATRIX_PRODUCTS:
            return prod(self.output_shape(node)) * self._shapes(node)[MATRIX_PRODUCTS[kind]][-1]
        if kind in convolution.KINDS:
            pixels = self.input_shapes(node)[0] if "transpose" in kind else self.output_shape(node)
            return prod(pixels) * prod(self._shapes(node)[1][1:])
        return 0

    def _shapes(self, node: fx.Node) -> list[Shape]:
        """The shapes of the tensors among the call's positional arguments."""
        return [reads.shape(arg) for arg in node.args if isinstance(arg, fx.Node)]

    def operator(self, node: fx.Node) -> Operator | None:
        """The operator that the call computes, where loop nests can express it."""
        found = self._readings.get(node)
        return found.operator if found else None

    def reason(self, node: fx.Node) -> str:
        """Why the search can't transform the call; empty if it can."""
        found = self._readings.get(node)
        if found is None or (found.operator is not None and self.kind(node) != "conv2d"):
            return f"{self.kind(node)}: the search transforms two-dimensional convolutions only"
        return found.obstacle or self._module_reason(node, found)

    def _module_reason(self, node: fx.Node, found: Reading) -> str:
        path = _innermost(node)[0]
        module = self._module.get_submodule(path)
        if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
            return f"padding mode {module.padding_mode!r}: only zero padding is transformed"
        if not path or type(module) is not nn.Conv2d or self._parameters.get(found.weight) is not module.weight:
            return "its weight belongs to no Conv2d inside the network"
        uses = self._weight_uses[found.weight]
        return f"its weight is used by {uses} calls" if uses > 1 else ""


def _parameters(program: ExportedProgram, module: nn.Module) -> dict[str, nn.Parameter]:
    """The trace's name of each parameter -> the module's parameter."""
    names = dict(module.named_parameters(remove_duplicate=False))
    specs = (spec for spec in program.graph_signature.input_specs if spec.kind == InputKind.PARAMETER)
    return {spec.arg.name: names[str(spec.target)] for spec in specs}


def _is_operation(node: fx.Node) -> bool:
    return node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)


def _innermost(node: fx.Node) -> tuple[str, str]:
    """The path and type of the innermost module that makes the call."""
    return list(node.meta["nn_module_stack"].values())[-1]
