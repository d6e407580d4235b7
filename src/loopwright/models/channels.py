"""Which channels of its inputs a traced operation reads, given which channels of its output are read.

Channels are what the second axis counts (a tensor of fewer axes has one). Each set is an array of flags. What is not
known to keep channels apart reads all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import numpy as np
import torch
from torch import fx
from torch._ops import OpOverload

from loopwright.models.convolution import KINDS as CONVOLUTIONS
from loopwright.models.reads import RESHAPES, argument, kind, shape

Reads = Iterator[tuple[fx.Node, np.ndarray]]

SPLITS = frozenset({"chunk", "split", "split_with_sizes", "tensor_split"})
DROPOUTS = frozenset({"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"})
UNTAGGED = frozenset({"hardswish", "prelu", "relu6", "log_sigmoid", "rsub", "multiply", "divide", "subtract"})
"""Pointwise operations that PyTorch does not tag so."""
COPIES = frozenset({"clone", "contiguous", "detach", "to", "alias", "_to_copy"})


def channels(node: fx.Node) -> int:
    """Channels of the call's output; of what is split, for the list of its parts."""
    axes = shape(_operand(node) if kind(node) in SPLITS else node)
    return axes[1] if len(axes) > 1 else 1


def reads_all(node: fx.Node) -> Reads:
    """Every channel of every input."""
    yield from ((operand, np.ones(channels(operand), bool)) for operand in node.all_input_nodes)


def reads(node: fx.Node, live: np.ndarray) -> Reads:
    """Each input and which of its channels the ``live`` channels of the call's output are made of."""
    return _rule(node)(node, live) if node.all_input_nodes and not _writes_elsewhere(node) else reads_all(node)


def _rule(node: fx.Node) -> Callable[[fx.Node, np.ndarray], Reads]:
    name = kind(node)
    if name in _RULES:
        return _RULES[name]
    if _is_pointwise(node):
        return _pointwise
    return _unchanged if _keeps_channels(node) else lambda node, live: reads_all(node)


def _is_pointwise(node: fx.Node) -> bool:
    return kind(node) in UNTAGGED or torch.Tag.pointwise in getattr(node.target, "tags", ())


def _keeps_channels(node: fx.Node) -> bool:
    """Whether each channel of the output is made of the same channel of the first input."""
    name, axes = kind(node), len(shape(_operand(node)))
    if axes < 2:
        return False
    if name in ("permute", "transpose"):
        return _permutation(node, axes)[:2] == [0, 1]
    if name in ("mean", "sum", "amax", "amin"):
        dims = argument(node, "dim", ())
        return bool(dims) and all(dim % axes > 1 for dim in dims)
    if name in ("pad", "constant_pad_nd"):
        return len(argument(node, "pad", ())) <= 2 * (axes - 2)
    return name in _CHANNEL_BY_CHANNEL or axes == _AXES.get(name)


def _permutation(node: fx.Node, axes: int) -> list[int]:
    if kind(node) == "permute":
        return [axis % axes for axis in argument(node, "dims", ())]
    order = list(range(axes))
    first, second = (argument(node, name, 0) % axes for name in ("dim0", "dim1"))
    order[first], order[second] = second, first
    return order


def _unchanged(node: fx.Node, live: np.ndarray) -> Reads:
    """The first input's channels are the output's; others (parameters) are read whole."""
    first, *others = node.all_input_nodes
    yield first, live
    yield from ((other, np.ones(channels(other), bool)) for other in others)


def _pointwise(node: fx.Node, live: np.ndarray) -> Reads:
    """Inputs are broadcast; one whose channels don't lie beside the output's is read whole."""
    for operand in node.all_input_nodes:
        beside = len(shape(operand)) == len(shape(node)) and channels(operand) == len(live)
        yield operand, live if beside else np.ones(channels(operand), bool)


def _reshaped(node: fx.Node, live: np.ndarray) -> Reads:
    """Elements keep their order, so each of the output is found again in the input."""
    before, after = shape(_operand(node)), shape(node)
    if prod(before) != prod(after) or len(after) < 2:
        yield from reads_all(node)
        return
    column = live.reshape(-1, *[1] * (len(after) - 2))
    elements = np.broadcast_to(column, after).reshape(before)
    yield _operand(node), elements.any(tuple(axis for axis in range(len(before)) if axis != 1)).reshape(-1)


def _joined(node: fx.Node, live: np.ndarray) -> Reads:
    parts = argument(node, "tensors", ())
    if any(len(shape(part)) != len(shape(node)) for part in parts):
        yield from reads_all(node)
        return
    if argument(node, "dim", 0) % len(shape(node)) != 1:
        yield from ((part, live) for part in parts)
        return
    ends = np.cumsum([channels(part) for part in parts])
    yield from zip(parts, np.split(live, ends[:-1]), strict=True)


def _sliced(node: fx.Node, live: np.ndarray) -> Reads:
    operand = _operand(node)
    if argument(node, "dim", 0) % len(shape(operand)) != 1:
        yield operand, live
        return
    read = np.zeros(channels(operand), bool)
    read[slice(*(argument(node, name, default) for name, default in (("start", 0), ("end", None), ("step", 1))))] = live
    yield operand, read


def _picked(node: fx.Node, live: np.ndarray) -> Reads:
    """One of a call's several outputs; the parts of a split lie one after the other in what was split."""
    call, number = node.args
    assert isinstance(call, fx.Node)
    assert isinstance(number, int)
    if kind(call) in SPLITS and argument(call, "dim", 0) % len(shape(node)) == 1:
        widths = [part.shape[1] for part in call.meta["val"]]
        read = np.zeros(sum(widths), bool)
        read[sum(widths[:number]) :][: widths[number]] = live
        yield call, read
    else:
        yield call, live if len(live) == channels(call) else np.ones(channels(call), bool)


def _writes_elsewhere(node: fx.Node) -> bool:
    """Whether an operation in place brings more than its own elements to a tensor that is also known by another name:
    then they may be read under that name."""
    alone = len(node.all_input_nodes) == 1 and _is_pointwise(node)
    return _in_place(node) and not alone and not _sole(_operand(node))


def _sole(node: fx.Node) -> bool:
    """Whether the call's output is a new tensor (or that of a sole one, changed in place) which one call reads."""
    if len(node.users) != 1 or not isinstance(node.target, OpOverload):
        return False
    if _in_place(node):
        return _sole(_operand(node))
    aliases = any(result.alias_info is not None for result in node.target._schema.returns)
    return not aliases and (kind(node) in {*CONVOLUTIONS, "batch_norm", "cat"} or _is_pointwise(node))


def _in_place(node: fx.Node) -> bool:
    return isinstance(node.target, OpOverload) and node.target._schema.is_mutable


def _operand(node: fx.Node) -> fx.Node:
    return node.all_input_nodes[0]


_RULES: dict[str, Callable[[fx.Node, np.ndarray], Reads]] = {
    "getitem": _picked,
    "cat": _joined,
    "slice": _sliced,
    **dict.fromkeys(RESHAPES, _reshaped),
}
_CHANNEL_BY_CHANNEL = DROPOUTS | COPIES | SPLITS | {"batch_norm", "instance_norm"}
_AXES = {
    f"{name}{rank}d{suffix}": rank + 2
    for rank in (1, 2, 3)
    for name, suffix in (
        ("max_pool", ""),
        ("max_pool", "_with_indices"),
        ("avg_pool", ""),
        ("adaptive_avg_pool", ""),
        ("adaptive_max_pool", ""),
        ("upsample_nearest", ""),
    )
} | {"upsample_bilinear2d": 4, "upsample_bicubic2d": 4}
"""Operations that treat channels apart in tensors of that many axes."""
