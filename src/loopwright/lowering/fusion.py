"""What follows each convolution or linear layer of a network and can be computed in its own kernel.

A chain conv2d -> bias -> batch norm -> residual addition -> ReLU, or any part of it in that order, becomes one
`FusedChain` as long as each value is used by the next call alone. So does such a chain after a linear layer, and one of
images without a convolution.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from tvm import relax

from loopwright.lowering.constants import Constants, operation_name, static_shape
from loopwright.lowering.epilogue import Epilogue


@dataclass(frozen=True, eq=False)
class Affine:
    """``value * scale + shift``, each of one value a channel."""

    scale: np.ndarray
    shift: np.ndarray

    def then(self, other: Affine) -> Affine:
        return Affine(self.scale * other.scale, self.shift * other.scale + other.shift)


@dataclass(frozen=True, eq=False)
class FusedChain:
    """``min?(relu?(source * scale + shift + residual?), at_most)``, whose value is that of the variable ``result``; the
    source is the call of a convolution or linear layer, or the variable that a chain of elementwise calls starts from.
    """

    source: relax.Call | relax.Var
    result: relax.Var
    affine: Affine
    residual: relax.Var | None = None
    relu: bool = False
    at_most: float | None = None

    @property
    def epilogue(self) -> Epilogue:
        scale, shift = bool((self.affine.scale != 1).any()), bool((self.affine.shift != 0).any())
        # TVM takes a function of one tensor and no other argument for a possible reshape, and stops at ours
        shift = shift or not isinstance(self.source, relax.Call)
        return Epilogue(scale, shift, self.residual is not None, self.relu, self.at_most)

    @property
    def without_scale(self) -> FusedChain:
        """The chain whose source's weights have the scale in them."""
        return replace(self, affine=Affine(np.ones_like(self.affine.scale), self.affine.shift))

    @property
    def affine_arguments(self) -> tuple[np.ndarray, ...]:
        """Scale and shift, those of them that the epilogue names."""
        parts = ((self.epilogue.scale, self.affine.scale), (self.epilogue.shift, self.affine.shift))
        return tuple(part for present, part in parts if present)


class Fusion:
    """Finds the chains in ``bindings``; a call belongs to at most one of them.

    ``chains`` has them by the variable of their value: those of convolutions and linear layers, and those that `begin`
    was asked for.
    """

    def __init__(self, bindings: Sequence[relax.VarBinding], constants: Constants, output: relax.Expr):
        self._constants = constants
        self._users = _users(bindings, output)
        self._taken: set[relax.Var] = set()
        self.chains: dict[relax.Var, FusedChain] = {}
        for binding in bindings:
            if is_convolution(binding.value, constants) or is_linear(binding.value, constants):
                self._taken.add(binding.var)
                self._extend(FusedChain(binding.value, binding.var, identity(static_shape(binding.var)[1])))

    def is_inside(self, var: relax.Var) -> bool:
        """Whether the variable exists within a chain only."""
        return var in self._taken and var not in self.chains

    def begin(self, binding: relax.VarBinding) -> None:
        """Adds the chain that starts with the call of ``binding``, if it is elementwise and in no chain yet."""
        sources = [var for var in variables(binding.value) if var not in self._constants and is_image(var)]
        if binding.var in self._taken or not sources:
            return
        start = FusedChain(sources[0], sources[0], identity(static_shape(sources[0])[1]))
        fused = self._absorb(start, binding)
        if fused is not None:
            self._taken.add(binding.var)
            self._extend(fused)

    def _extend(self, fused: FusedChain) -> None:
        """Adds the longest chain that starts as ``fused`` does."""
        while (longer := self._absorb_next(fused)) is not None:
            fused = longer
        self.chains[fused.result] = fused

    def _absorb_next(self, fused: FusedChain) -> FusedChain | None:
        user = self.only_user(fused.result)
        if user is None or user.var in self._taken or fused.relu:
            return None
        longer = self._absorb(fused, user)
        if longer is not None:
            self._taken.add(user.var)
        return longer

    def only_user(self, var: relax.Var) -> relax.VarBinding | None:
        """The binding that alone uses the variable, once; None if there are others or the function returns it."""
        users = self._users[var]
        return users[0] if len(users) == 1 else None

    def _absorb(self, fused: FusedChain, user: relax.VarBinding) -> FusedChain | None:
        bound = rectified(user.value)
        if bound is not None:
            return replace(fused, result=user.var, relu=True, at_most=None if bound == inf else bound)
        if fused.residual is not None:
            return None
        affine = channel_affine(user.value, fused.result, self._constants)
        output = None if affine is None else self._only_output(user)
        if affine is not None and output is not None:
            return replace(fused, result=output, affine=fused.affine.then(affine))
        residual = _added(user.value, fused.result)
        return None if residual is None else replace(fused, result=user.var, residual=residual)

    def _only_output(self, user: relax.VarBinding) -> relax.Var | None:
        """The call's variable; for a call with several outputs (batch norm has three) that of the only one in use."""
        if not isinstance(user.var.ty, relax.TupleType):
            return user.var
        pick = self.only_user(user.var)
        if pick is None:
            return None
        self._taken.add(pick.var)
        return pick.var


def rectified(call: relax.Expr) -> float | None:
    """The bound of an activation that is ``min(max(x, 0), bound)``, infinite for ReLU; None for all others."""
    if operation_name(call) == "relax.nn.relu":
        return inf
    if operation_name(call) != "relax.clip":
        return None
    low, high = (float(getattr(arg, "value", arg)) for arg in call.args[1:])
    return high if low == 0 else None


def is_convolution(expression: relax.Expr, constants: Constants) -> bool:
    """Whether it is a two-dimensional convolution of NCHW images in float32 with a known weight."""
    if operation_name(expression) != "relax.nn.conv2d" or expression.args[1] not in constants:
        return False
    return expression.attrs.data_layout == "NCHW" and str(expression.args[0].ty.dtype) == "float32"


def is_linear(expression: relax.Expr, constants: Constants) -> bool:
    """Whether it is a product of rows (N, C) and a known matrix (C, C') in float32."""
    if operation_name(expression) != "relax.matmul" or expression.args[1] not in constants:
        return False
    rows, matrix = expression.args
    two_axes = len(static_shape(rows)) == len(static_shape(matrix)) == 2
    return two_axes and rows not in constants and str(rows.ty.dtype) == str(matrix.ty.dtype) == "float32"


def is_image(var: relax.Var) -> bool:
    """Whether it is a tensor (N, C, H, W) in float32."""
    return len(static_shape(var)) == 4 and str(var.ty.dtype) == "float32"


def identity(channels: int) -> Affine:
    """What changes nothing."""
    return Affine(np.ones(channels, "float32"), np.zeros(channels, "float32"))


def channel_affine(call: relax.Expr, x: relax.Var, constants: Constants) -> Affine | None:
    """The call as scale and shift of the channels of ``x``; None if it does anything else."""
    operation = operation_name(call)
    if operation == "relax.nn.batch_norm":
        return _batch_norm(call, constants)
    if operation not in ("relax.add", "relax.multiply", "relax.subtract"):
        return None
    left, right = call.args
    if left != x and operation == "relax.subtract":
        return None
    values = _per_channel(right if left == x else left, static_shape(x), constants)
    if values is None:
        return None
    neutral = identity(len(values))
    if operation == "relax.multiply":
        return Affine(values, neutral.shift)
    return Affine(neutral.scale, values if operation == "relax.add" else -values)


def _per_channel(expression: relax.Expr, shape: tuple[int, ...], constants: Constants) -> np.ndarray | None:
    """What is known and the same along all axes of ``shape`` (N, C, ...) but that of the channels, as (C,)."""
    if expression not in constants:
        return None
    value, alike = constants.value(expression), (shape[1], *(1 for _ in shape[2:]))
    return value.reshape(shape[1]) if value.shape[-len(alike) :] == alike and value.size == shape[1] else None


def _batch_norm(call: relax.Call, constants: Constants) -> Affine | None:
    """Batch norm in evaluation mode: ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``."""
    if call.attrs.training or int(call.attrs.axis) != 1 or not all(arg in constants for arg in call.args[1:]):
        return None
    gamma, beta, mean, variance = (constants.value(arg).astype("float64") for arg in call.args[1:])
    scale = gamma / np.sqrt(variance + float(call.attrs.epsilon))
    return Affine(scale.astype("float32"), (beta - mean * scale).astype("float32"))


def _added(call: relax.Expr, x: relax.Var) -> relax.Var | None:
    """What an addition adds to ``x``, if it is a variable of the same shape."""
    if operation_name(call) != "relax.add":
        return None
    other = call.args[1] if call.args[0] == x else call.args[0]
    same = isinstance(other, relax.Var) and static_shape(other) == static_shape(x)
    return other if same else None


def _users(bindings: Iterable[relax.VarBinding], output: relax.Expr) -> dict[relax.Var, list[relax.VarBinding | None]]:
    """Each variable -> the bindings that use it, once for each use; None stands for the function's output."""
    users: dict[relax.Var, list[relax.VarBinding | None]] = defaultdict(list)
    for binding in bindings:
        for var in variables(binding.value):
            users[var].append(binding)
    for var in variables(output):
        users[var].append(None)
    return users


def variables(expression: relax.Expr) -> list[relax.Var]:
    """The variables that an expression reads, in order, as often as it does."""
    if isinstance(expression, relax.Var):
        return [expression]
    if isinstance(expression, relax.Call):
        return [var for arg in expression.args for var in variables(arg)]
    if isinstance(expression, relax.Tuple):
        return [var for field in expression.fields for var in variables(field)]
    return variables(expression.tuple_value) if isinstance(expression, relax.TupleGetItem) else []
