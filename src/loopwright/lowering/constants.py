"""Values that are known before the network runs: parameters, and what reshapes and transposes make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from tvm import relax
from tvm.ir.expr import GenericConst


class Constants:
    """The variables of a Relax function whose value is known."""

    def __init__(self, parameters: Iterable[relax.Var], values: Mapping[str, np.ndarray]):
        self._values = {var: values[var.name] for var in parameters if var.name in values}

    def __contains__(self, expression: relax.Expr) -> bool:
        return expression in self._values or isinstance(expression, GenericConst)

    def value(self, expression: relax.Expr) -> np.ndarray:
        """The value of a variable or constant that is known."""
        return expression.value.numpy() if isinstance(expression, GenericConst) else self._values[expression]

    def fold(self, binding: relax.VarBinding) -> bool:
        """Whether the binding only rearranges a known value; if so its variable is known from now on."""
        call = binding.value
        if not isinstance(call, relax.Call) or not call.args or call.args[0] not in self:
            return False
        folded = self._rearranged(call, binding.var)
        if folded is not None:
            self._values[binding.var] = folded
        return folded is not None

    def _rearranged(self, call: relax.Call, var: relax.Var) -> np.ndarray | None:
        operation = operation_name(call)
        if operation == "relax.reshape":
            return self.value(call.args[0]).reshape(static_shape(var))
        if operation == "relax.permute_dims":
            axes = call.attrs.axes
            return self.value(call.args[0]).transpose(None if axes is None else [int(axis) for axis in axes])
        return None


def operation_name(expression: relax.Expr) -> str:
    """``relax.nn.conv2d`` and the like; empty for what calls no Relax operator."""
    return str(getattr(getattr(expression, "op", None), "name", ""))


def static_shape(expression: relax.Expr) -> tuple[int, ...]:
    """The shape of a tensor; empty for what is no tensor."""
    shape = getattr(expression.ty, "shape", None)
    return tuple(int(size) for size in shape) if shape is not None else ()
