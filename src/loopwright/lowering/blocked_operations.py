"""The calls that work on activations in blocked layout as they are; every other call sees (N, C, H, W).

`blocked_call` gives the call over blocked values, or None where it has no such form.
"""

from __future__ import annotations

from collections.abc import Callable

from tvm import relax

from loopwright.lowering.constants import operation_name, static_shape
from loopwright.lowering.values import Values

UNARY = frozenset(
    f"relax.{name}"
    for name in (
        *("nn.relu", "nn.leakyrelu", "nn.silu", "nn.gelu", "nn.gelu_tanh", "nn.softplus"),
        *("clip", "sigmoid", "tanh", "exp", "sqrt", "rsqrt", "negative", "abs", "square", "erf"),
    )
)
BINARY = frozenset(f"relax.{name}" for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum"))
POOLS = frozenset(f"relax.nn.{name}" for name in ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"))


def blocked_call(call: relax.Expr, values: Values) -> relax.Expr | None:
    """The value of ``call`` in blocked layout; None if it reads nothing blocked or knows no such layout."""
    handler = _handler(operation_name(call))
    if handler is None or not any(values.is_blocked(arg) for arg in call.args):
        return None
    return handler(call, values)


def _handler(operation: str) -> Callable[[relax.Call, Values], relax.Expr | None] | None:
    if operation in UNARY:
        return _unary
    if operation in POOLS:
        return _pool
    if operation in BINARY:
        return _binary
    return _mean if operation == "relax.mean" else None


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


def _pool(call: relax.Call, values: Values) -> relax.Expr:
    x = values.blocked(call.args[0])
    layout = f"NCHW{values.block(call.args[0])}c"
    attrs = call.attrs
    if operation_name(call) == "relax.nn.adaptive_avg_pool2d":
        return relax.op.nn.adaptive_avg_pool2d(x, attrs.output_size, layout=layout)
    pool = relax.op.nn.max_pool2d if operation_name(call) == "relax.nn.max_pool2d" else relax.op.nn.avg_pool2d
    shape = (attrs.pool_size, attrs.strides, attrs.padding, attrs.dilation)
    return pool(x, *shape, attrs.ceil_mode, attrs.count_include_pad, layout=layout)


def _mean(call: relax.Call, values: Values) -> relax.Expr | None:
    axes = sorted(int(axis) % 4 for axis in call.attrs.axis or ())
    if axes != [2, 3] or not call.attrs.keepdims:
        return None
    return relax.op.mean(values.blocked(call.args[0]), [2, 3], keepdims=True)
