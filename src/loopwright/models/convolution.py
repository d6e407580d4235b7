"""Reading a convolution call of a traced graph as a `Conv2d` operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

from loopwright.operators.conv2d import Conv2d

Pair = tuple[int, int]

KINDS = ("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


@dataclass(frozen=True)
class Convolution:
    """A call of conv2d: its operator, or the obstacle that keeps it from being a loop nest; and its weight's node."""

    weight: str
    operator: Conv2d | None
    obstacle: str = ""


def kind(node: fx.Node) -> str:
    """The name of the operation that the node calls, without overload or in-place mark."""
    return _overload(node).name().partition("::")[2].partition(".")[0].rstrip("_")


def _overload(node: fx.Node) -> OpOverload:
    assert isinstance(node.target, OpOverload)
    return node.target


def read(node: fx.Node) -> Convolution | None:
    """The convolution that the node calls; None if it calls anything but conv2d."""
    if kind(node) != "conv2d":
        return None
    arguments = _arguments(node)
    obstacle = _obstacle(arguments)
    operator = None if obstacle else _operator(arguments, node.meta["val"].shape)
    return Convolution(arguments["weight"].name, operator, obstacle)


def _obstacle(arguments: dict[str, Any]) -> str:
    x = arguments["input"].meta["val"]
    if x.dim() != 4:
        return "its input has no batch axis"
    if x.dtype != torch.float32:
        return f"its input is {str(x.dtype).removeprefix('torch.')}, not float32"
    if arguments["padding"] == "same" and any(size % 2 for size in _same_padding(arguments)):
        return "padding 'same' is uneven for this kernel size"
    return ""


def _operator(arguments: dict[str, Any], output_shape: torch.Size) -> Conv2d:
    n, co, oh, ow = output_shape
    ci, ih, iw = arguments["input"].meta["val"].shape[1:]
    kh, kw = arguments["weight"].meta["val"].shape[2:]
    return Conv2d(
        *(n, co, ci, oh, ow, kh, kw),
        stride=pair(arguments["stride"]),
        padding=_padding(arguments),
        dilation=pair(arguments["dilation"]),
        groups=arguments["groups"],
        input_size=(ih, iw),
    )


def _padding(arguments: dict[str, Any]) -> Pair:
    """Zeros before the first row and column, and behind the last."""
    if arguments["padding"] == "valid":
        return 0, 0
    if arguments["padding"] == "same":
        rows, columns = _same_padding(arguments)
        return rows // 2, columns // 2
    return pair(arguments["padding"])


def _same_padding(arguments: dict[str, Any]) -> Pair:
    """All zeros, before and behind, that keep the rows and the columns as many as they are."""
    kernel_size = arguments["weight"].meta["val"].shape[2:]
    rows, columns = (step * (size - 1) for size, step in zip(kernel_size, pair(arguments["dilation"]), strict=True))
    return rows, columns


def _arguments(node: fx.Node) -> dict[str, Any]:
    """All arguments by name, defaults included."""
    schema = _overload(node)._schema.arguments
    values = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    return {
        **values,
        **{argument.name: value for argument, value in zip(schema, node.args, strict=False)},
        **node.kwargs,
    }


def pair(value: int | list[int]) -> Pair:
    """Rows and columns of an argument that may be given once for both."""
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
