"""The calls that work on activations in blocked layout as they are; every other call sees (N, C, H, W).

`blocked_call` gives the call over blocked values, or None where it has no such form.
"""

from __future__ import annotations

from collections.abc import Callable

from tvm import relax

from loopwright.lowering.constants import operation_name, static_shape
from loopwright.lowering.pooling import Pooling, Windows
from loopwright.lowering.values import Values

UNARY = frozenset(
    f"relax.{name}"
    for name in (
        *("nn.relu", "nn.leakyrelu", "nn.silu", "nn.gelu", "nn.gelu_tanh", "nn.softplus"),
        *("clip", "sigmoid", "tanh", "exp", "sqrt", "rsqrt", "negative", "abs", "square", "erf"),
    )
)
BINARY = frozenset(f"relax.{name}" for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum"))


def blocked_call(call: relax.Expr, values: Values) -> relax.Expr | None:
    """The value of ``call`` in blocked layout; None if it reads nothing blocked or knows no such layout."""
    handler = _handler(operation_name(call))
    if handler is None or not any(values.is_blocked(arg) for arg in call.args):
        return None
    return handler(call, values)


def _handler(operation: str) -> Callable[[relax.Call, Values], relax.Expr | None] | None:
    if operation in UNARY:
        return _unary
    return _binary if operation in BINARY else _REDUCTIONS.get(operation)


def _with_first(call: relax.Call, x: relax.Expr) -> relax.Call:
    return relax.Call(call.op, [x, *call.args[1:]], call.attrs, call.ty_args)


def _unary(call: relax.Call, values: Values) -> relax.Expr:
    return _with_first(call, values.blocked(call.args[0]))


def _binary(call: relax.Call, values: Values) -> relax.Expr | None:
    x = next(arg for arg in call.args if values.is_blocked(arg))
    operands = [_operand(arg, x, values) for arg in call.args]
    return None if None in operands else relax.Call(call.op, operands, call.attrs, call.ty_args)


def _operand(arg: relax.Expr, x: relax.Var, values: Values) -> relax.Expr | None:
    """Single values as they are, other tensors of as many channels in blocked layout."""
    if arg in values.constants:
        value = values.constants.value(arg)
        return relax.const(value.reshape(()), str(value.dtype)) if value.size == 1 else None
    shape = static_shape(arg)
    same_channels = len(shape) == 4 and shape[1] == static_shape(x)[1]
    return values.blocked(arg) if same_channels and isinstance(arg, relax.Var) else None


def _max_pool(call: relax.Call, values: Values) -> relax.Expr:
    return values.pooled(call.args[0], _windowed(call, mean=False))


def _mean_pool(call: relax.Call, values: Values) -> relax.Expr:
    return values.pooled(call.args[0], _windowed(call, mean=True))


def _windowed(call: relax.Call, *, mean: bool) -> Pooling:
    """The pooling of a call whose windows are given by their size, stride, padding and dilation."""
    attrs, sizes, counts = call.attrs, static_shape(call.args[0])[2:], static_shape(call)[2:]
    rows, columns = (
        Windows(
            sizes[axis],
            counts[axis],
            int(attrs.pool_size[axis]),
            stride=int(attrs.strides[axis]),
            before=int(attrs.padding[axis]),
            after=int(attrs.padding[axis + 2]),
            dilation=int(attrs.dilation[axis]),
        )
        for axis in (0, 1)
    )
    return Pooling(rows, columns, mean, counts_padding=bool(attrs.count_include_pad))


def _adaptive_pool(call: relax.Call, values: Values) -> relax.Expr | None:
    """Windows of equal size; others are left to TVM, in blocked layout too."""
    sizes, counts = static_shape(call.args[0])[2:], static_shape(call)[2:]
    if any(size % count for size, count in zip(sizes, counts, strict=True)):
        layout = f"NCHW{values.block(call.args[0])}c"
        return relax.op.nn.adaptive_avg_pool2d(values.blocked(call.args[0]), call.attrs.output_size, layout=layout)
    extents = [size // count for size, count in zip(sizes, counts, strict=True)]
    rows, columns = (
        Windows(size, count, extent, stride=extent) for size, count, extent in zip(sizes, counts, extents, strict=True)
    )
    return values.pooled(call.args[0], Pooling(rows, columns, mean=True))


def _global_mean(call: relax.Call, values: Values) -> relax.Expr | None:
    axes = sorted(int(axis) % 4 for axis in call.attrs.axis or ())
    if axes != [2, 3]:
        return None
    rows, columns = map(Windows.whole, static_shape(call.args[0])[2:])
    return values.pooled(call.args[0], Pooling(rows, columns, mean=True))


_REDUCTIONS: dict[str, Callable[[relax.Call, Values], relax.Expr | None]] = {
    "relax.nn.max_pool2d": _max_pool,
    "relax.nn.avg_pool2d": _mean_pool,
    "relax.nn.adaptive_avg_pool2d": _adaptive_pool,
    "relax.mean": _global_mean,
}
