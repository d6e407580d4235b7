"""How a traced operation reads positions: in windows, its own position only, or any.

Windows are those of convolutions and poolings. Position by position work activations, normalisations (though some take
statistics over the image), additions, and whatever moves or joins channels. All else may read everything.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

from loopwright.models.footprint import Footprint, Size, adaptive, window

Pair = tuple[int, int]

NORMALISATIONS = frozenset({"batch_norm", "group_norm", "instance_norm", "layer_norm"})
ELEMENTWISE = NORMALISATIONS | {
    "dropout",
    "feature_dropout",
    "clone",
    "contiguous",
    "detach",
    "to",
    "alias",
    "_to_copy",
}
ALONG_ONE_AXIS = frozenset({"cat", "slice", "chunk", "split", "split_with_sizes", "softmax"})
RESHAPES = frozenset({"view", "reshape", "_unsafe_view", "flatten", "unflatten"})


def kind(node: fx.Node) -> str:
    """The operation's name without overload or in-place mark; ``getitem`` for one of several outputs."""
    if node.target is operator.getitem:
        return "getitem"
    if not isinstance(node.target, OpOverload):
        return str(node.target)
    return node.target.name().partition("::")[2].partition(".")[0].rstrip("_")


def shape(node: fx.Node) -> tuple[int, ...]:
    """The shape of what the call gives; of the first tensor if it gives several; () if it gives none."""
    value = node.meta.get("val")
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    return tuple(int(extent) for extent in value.shape) if isinstance(value, torch.Tensor) else ()


def size(node: fx.Node) -> Size:
    """(height, width): the last two axes of a tensor that has at least four, otherwise (1, 1)."""
    axes = shape(node)
    return (axes[-2], axes[-1]) if len(axes) >= 4 else (1, 1)


def footprint(node: fx.Node) -> Footprint | None:
    """The windows that a two-dimensional convolution or pooling of a batch reads; None for all else."""
    read = _WINDOWS.get(kind(node))
    return read(node) if read is not None and len(shape(node)) == 4 else None


def is_pointwise(node: fx.Node) -> bool:
    """True if each position of the output depends on no other position of the inputs than its own."""
    name, axes = kind(node), len(shape(node))
    if name in RESHAPES:
        return axes >= 4 and size(node) == size(node.all_input_nodes[0])
    if name in ALONG_ONE_AXIS:
        return axes >= 4 and argument(node, "dim", 0) % axes < axes - 2
    if name in ("permute", "transpose"):
        return axes >= 4 and _keeps_positions(node, axes)
    tags = getattr(node.target, "tags", ())
    return name == "getitem" or name in ELEMENTWISE or torch.Tag.pointwise in tags


def argument(node: fx.Node, name: str, default: Any) -> Any:
    """The value of the call's argument ``name``; ``default`` where the call leaves it out or the operation lacks it."""
    formals = node.target._schema.arguments if isinstance(node.target, OpOverload) else ()
    for index, formal in enumerate(formals):
        if formal.name == name:
            given = node.args[index] if index < len(node.args) else node.kwargs.get(name)
            return default if given is None or given == [] else given
    return default


def _keeps_positions(node: fx.Node, axes: int) -> bool:
    if kind(node) == "permute":
        return [axis % axes for axis in argument(node, "dims", ())][-2:] == [axes - 2, axes - 1]
    return all(argument(node, name, 0) % axes < axes - 2 for name in ("dim0", "dim1"))


def _convolution(node: fx.Node) -> Footprint:
    kernel = shape(node.all_input_nodes[1])[2:]
    stride, dilation = _pair(argument(node, "stride", 1)), _pair(argument(node, "dilation", 1))
    padding = argument(node, "padding", 0)
    if isinstance(padding, str):
        spread = ((extent - 1) * step // 2 for extent, step in zip(kernel, dilation, strict=True))
        padding = tuple(spread) if padding == "same" else 0
    return window(_input_size(node), size(node), _pair(kernel), stride, _pair(padding), dilation)


def _pooling(node: fx.Node) -> Footprint:
    kernel = _pair(argument(node, "kernel_size", 1))
    stride, padding = _pair(argument(node, "stride", kernel)), _pair(argument(node, "padding", 0))
    return window(_input_size(node), size(node), kernel, stride, padding, _pair(argument(node, "dilation", 1)))


def _adaptive(node: fx.Node) -> Footprint:
    return adaptive(_input_size(node), size(node))


def _input_size(node: fx.Node) -> Size:
    return size(node.all_input_nodes[0])


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


_WINDOWS: dict[str, Callable[[fx.Node], Footprint]] = {
    "conv2d": _convolution,
    "max_pool2d": _pooling,
    "max_pool2d_with_indices": _pooling,
    "avg_pool2d": _pooling,
    "adaptive_avg_pool2d": _adaptive,
    "adaptive_max_pool2d": _adaptive,
}
