"""The operations of common convolutional networks as PyTorch's core ones, written down instead of traced.

`ExportedProgram.run_decompositions` runs the whole network once more on tensors without values, which takes as long as
tracing it did. A network made of the operations below is rewritten node by node instead; what comes out is the same.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from copy import copy, deepcopy
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from loopwright.models import reading

ATEN = torch.ops.aten


def over_core_operations(program: ExportedProgram) -> ExportedProgram | None:
    """A copy over PyTorch's core operations, with a dictionary of parameters of its own; None where an operation is
    used that `run_decompositions` has to look at."""
    module = deepcopy(program.graph_module)
    for node, traced in zip(list(module.graph.nodes), program.graph.nodes, strict=True):
        node.name = traced.name  # copying changes names that Python has a meaning for, such as `input`
        if node.op == "call_function" and not _rewritten(node):
            return None
    module.recompile()
    return ExportedProgram(
        *(module, module.graph, program.graph_signature, dict(program.state_dict)),
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        constants=program.constants,
        verifiers=program.verifiers,
    )


def _rewritten(node: fx.Node) -> bool:
    """Makes the call one of a core operation, under the same name; whether that is possible."""
    if node.target in UNCHANGED:
        return True
    return node.target in REWRITTEN and REWRITTEN[node.target](node, *reading.arguments(node).values())


def _convolution(node: fx.Node, x: Any, weight: Any, bias: Any, *window: Any) -> bool:
    stride, padding, dilation, groups = window
    return x.meta["val"].ndim == 4 and _becomes(
        node, ATEN.convolution.default, x, weight, bias, stride, padding, dilation, False, [0, 0], groups
    )


def _batch_norm(node: fx.Node, *arguments: Any) -> bool:
    *tensors, training, momentum, epsilon, _ = arguments
    if training or None in tensors:
        return False
    return _becomes_first(node, ATEN._native_batch_norm_legit_no_training.default, *tensors, momentum, epsilon)


def _max_pool(node: fx.Node, *_: Any) -> bool:
    if node.kwargs or [] in node.args:
        return False
    return _becomes_first(node, ATEN.max_pool2d_with_indices.default, *node.args)


def _average_pool(_node: fx.Node, *arguments: Any) -> bool:
    *_, divisor = arguments
    return divisor is None


def _dropout(node: fx.Node, x: Any, _probability: float, training: bool) -> bool:
    return not training and _becomes(node, ATEN.clone.default, x)


def _in_place(functional: Any) -> Callable[..., bool]:
    """For an operation that overwrites its first argument, a value that nothing else reads."""

    def rewrite(node: fx.Node, x: fx.Node, *_: Any) -> bool:
        node.target = functional
        return not node.kwargs and x.op == "call_function" and x.target not in VIEWS and len(x.users) == 1

    return rewrite


def _add(node: fx.Node, *_: Any) -> bool:
    return not node.kwargs


def _global_average(node: fx.Node, x: Any, output_size: Any) -> bool:
    return list(output_size) == [1, 1] and _becomes(node, ATEN.mean.dim, x, [-1, -2], True)


def _flatten(node: fx.Node, x: Any, *_: Any) -> bool:
    return _becomes(node, ATEN.view.default, x, list(node.meta["val"].shape))


def _linear(node: fx.Node, x: Any, weight: Any, bias: Any) -> bool:
    if bias is None or x.meta["val"].ndim != 2:
        return False
    transposed = _before(node, ATEN.permute.default, weight, [1, 0])
    transposed.meta["val"] = weight.meta["val"].T
    return _becomes(node, ATEN.addmm.default, bias, x, transposed)


def _becomes(node: fx.Node, target: Any, *arguments: Any) -> bool:
    node.target, node.args, node.kwargs = target, arguments, {}
    return True


def _becomes_first(node: fx.Node, target: Any, *arguments: Any) -> bool:
    """The node becomes the first of what ``target`` gives."""
    return _becomes(node, operator.getitem, _before(node, target, *arguments), 0)


def _before(node: fx.Node, target: Any, *arguments: Any) -> fx.Node:
    """A new call in front of the node, of the same layer."""
    with node.graph.inserting_before(node):
        new = node.graph.call_function(target, arguments)
    new.meta = copy(node.meta)
    return new


VIEWS = (ATEN.view.default, ATEN.clone.default)
"""What shares its memory with its argument: after rewriting, flattening and dropout in evaluation mode."""

UNCHANGED = (ATEN.relu.default, ATEN.hardtanh.default, ATEN.cat.default)

REWRITTEN: dict[Any, Callable[..., bool]] = {
    ATEN.conv2d.default: _convolution,
    ATEN.batch_norm.default: _batch_norm,
    ATEN.relu_.default: _in_place(ATEN.relu.default),
    ATEN.hardtanh_.default: _in_place(ATEN.hardtanh.default),
    ATEN.add.Tensor: _add,
    ATEN.add_.Tensor: _in_place(ATEN.add.Tensor),
    ATEN.max_pool2d.default: _max_pool,
    ATEN.avg_pool2d.default: _average_pool,
    ATEN.adaptive_avg_pool2d.default: _global_average,
    ATEN.dropout.default: _dropout,
    ATEN.flatten.using_ints: _flatten,
    ATEN.linear.default: _linear,
}
