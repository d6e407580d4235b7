"""Reading a convolution call of a traced graph as an operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx

from loopwright.errors import ArgumentError
from loopwright.models.reading import Reading, arguments, type_obstacle
from loopwright.models.reads import kind, shape
from loopwright.operators import Operator
from loopwright.operators.conv1d import Conv1d
from loopwright.operators.conv2d import Conv2d
from loopwright.operators.conv3d import Conv3d
from loopwright.operators.conv_transpose2d import ConvTranspose2d

Sizes = tuple[int, ...]

KINDS = ("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
OPERATORS: dict[str, Callable[..., Operator]] = {
    operator.name: operator for operator in (Conv1d, Conv2d, Conv3d, ConvTranspose2d)
}


def read(node: fx.Node) -> Reading:
    """The convolution that a node of a kind in `OPERATORS` calls."""
    given = arguments(node)
    axes = len(shape(given["weight"])) - 2
    obstacle = _obstacle(given, axes)
    if obstacle:
        return Reading(given["weight"].name, None, obstacle)
    try:
        return Reading(given["weight"].name, _operator(kind(node), given, axes, shape(node)))
    except ArgumentError as error:
        return Reading(given["weight"].name, None, str(error))


def _obstacle(given: dict[str, Any], axes: int) -> str:
    if len(shape(given["input"])) != axes + 2:
        return "its input has no batch axis"
    if given["padding"] == "same" and any(size % 2 for size in _same_padding(given, axes)):
        return "padding 'same' is uneven for this kernel size"
    if "output_padding" in given and set(each(given["dilation"], axes)) != {1}:
        return f"its dilation is {_text(each(given['dilation'], axes))}; a transposed convolution must not be dilated"
    return type_obstacle(given["input"])


def _operator(name: str, given: dict[str, Any], axes: int, output: Sizes) -> Operator:
    n, co, *outputs = output
    extents = (n, co, shape(given["input"])[1], *outputs, *shape(given["weight"])[2:])
    sizes: dict[str, Any] = {"stride": each(given["stride"], axes), "padding": _padding(given, axes)}
    if name != ConvTranspose2d.name:
        sizes |= {"dilation": each(given["dilation"], axes), "input_size": shape(given["input"])[2:]}
    sizes = sizes if axes > 1 else {field: size for field, (size,) in sizes.items()}
    return OPERATORS[name](*extents, groups=given["groups"], **sizes)


def _padding(given: dict[str, Any], axes: int) -> Sizes:
    """Zeros before the first position of each axis, and behind the last."""
    if given["padding"] == "valid":
        return (0,) * axes
    if given["padding"] == "same":
        return tuple(size // 2 for size in _same_padding(given, axes))
    return each(given["padding"], axes)


def _same_padding(given: dict[str, Any], axes: int) -> Sizes:
    """All zeros, before and behind, that keep the positions of each axis as many as they are."""
    kernel_size, dilation = shape(given["weight"])[2:], each(given["dilation"], axes)
    return tuple(step * (size - 1) for size, step in zip(kernel_size, dilation, strict=True))


def each(value: int | list[int], axes: int) -> Sizes:
    """One entry for each axis of an argument that may be given once for all."""
    values = [value] if isinstance(value, int) else value
    return tuple(values) if len(values) == axes else (values[0],) * axes


def _text(sizes: Sizes) -> str:
    return "x".join(map(str, sizes))
