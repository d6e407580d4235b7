"""The values of a network while it is rewritten: as (N, C, H, W), in blocked layout, or both, packed when needed.

A concatenation along the channels is the list of its parts until something needs the whole.
"""

from __future__ import annotations

import numpy as np
from tvm import relax

from loopwright.lowering.constants import Constants, static_shape
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.functions import Functions
from loopwright.lowering.layout import blocked_shape, channel_block
from loopwright.lowering.pointwise import build_pointwise
from loopwright.lowering.pooling import Pooling, build_pooling
from loopwright.targets.target import Target

FEW_CHANNELS = 3
"""Images of at most so many channels, those that a network begins with, are not blocked for a convolution."""

PARTS_AT_MOST = 8
"""Concatenations within a concatenation are made whole above this many parts, each of which is code to compile."""


class Values:
    """Maps the variables of the original function to those of the new one, in the layouts that were asked for.

    A value (N, C) in blocked layout is one of single rows and columns.
    """

    def __init__(self, builder: relax.BlockBuilder, constants: Constants, functions: Functions, target: Target):
        self._builder = builder
        self.constants = constants
        self._functions = functions
        self._target = target
        self._plain: dict[relax.Var, relax.Expr] = {}
        self._blocked: dict[relax.Var, relax.Expr] = {}
        self._parts: dict[relax.Var, list[relax.Var]] = {}

    def emit(self, expression: relax.Expr) -> relax.Var:
        """A new variable of the new function for the expression."""
        return self._builder.emit(expression)

    def set_plain(self, var: relax.Var, expression: relax.Expr) -> None:
        """Gives an original variable its value as the original has it."""
        self._plain[var] = expression

    def set_blocked(self, var: relax.Var, expression: relax.Expr) -> None:
        """Gives an original variable its value in blocked layout."""
        self._blocked[var] = expression

    def set_parts(self, var: relax.Var, parts: list[relax.Var]) -> None:
        """Gives an original variable its value as the concatenation of original variables along the channels."""
        flat = [own for part in parts for own in self._parts.get(part, [part])]
        self._parts[var] = flat if len(flat) <= PARTS_AT_MOST else list(parts)

    def is_blocked(self, expression: relax.Expr) -> bool:
        """Whether the value of an original variable is at hand in blocked layout, as a whole or in parts."""
        return isinstance(expression, relax.Var) and (expression in self._blocked or expression in self._parts)

    def pointwise(self, var: relax.Var, epilogue: Epilogue, arguments: list[relax.Expr]) -> relax.Var:
        """What the epilogue, whose buffers are ``arguments``, makes of the value, in blocked layout."""
        parts = [var] if var in self._blocked else self._parts.get(var, [var])
        channels = tuple(static_shape(part)[1] for part in parts)
        n, whole, *size = static_shape(var)
        key = (channels, n, tuple(size), epilogue)
        given = [*map(self.blocked, parts), *arguments]
        stored = blocked_shape(n, (whole, *size), self._target.vector_lanes)
        return self._functions.call("pointwise", key, lambda: build_pointwise(*key, self._target), given, stored)

    def pooled(self, var: relax.Var, pooling: Pooling) -> relax.Var:
        """What a pooling makes of the value, in blocked layout."""
        n, channels = static_shape(var)[:2]
        key = (pooling, n, channels)
        shape = blocked_shape(n, (channels, *pooling.counts), self._target.vector_lanes)
        given = [self.blocked(var), relax.const(np.full(shape[-1:], pooling.neutral, "float32"))]
        return self._functions.call("pooling", key, lambda: build_pooling(*key, self._target), given, shape)

    def block(self, expression: relax.Expr) -> int:
        """How many channels of an (N, C, H, W) value lie side by side in blocked layout."""
        return self.channel_block(static_shape(expression)[1])

    def channel_block(self, channels: int) -> int:
        """How many of ``channels`` channels would lie side by side."""
        return channel_block(channels, self._target.vector_lanes)

    def blocked(self, var: relax.Var) -> relax.Expr:
        """The value in blocked layout, (N, C / block, H, W, block)."""
        if var in self._parts and var not in self._blocked:
            self._blocked[var] = self.pointwise(var, Epilogue(), [])
        if var not in self._blocked:
            n, channels, rows, columns = static_shape(var)
            block = self.block(var)
            split = relax.op.reshape(self.plain(var), (n, channels // block, block, rows, columns))
            self._blocked[var] = self.emit(relax.op.permute_dims(self.emit(split), [0, 1, 3, 4, 2]))
        return self._blocked[var]

    def image(self, var: relax.Var) -> relax.Expr:
        """The value as a convolution reads it: in blocked layout, but (N, C, H, W, 1) where it is not blocked yet and
        has so few channels that blocking them would gain nothing."""
        if static_shape(var)[1] > FEW_CHANNELS or self.is_blocked(var):
            return self.blocked(var)
        return self.emit(relax.op.reshape(self.plain(var), (*static_shape(var), 1)))

    def rows(self, var: relax.Var) -> relax.Var:
        """A value (N, C) as one image of N columns whose channels lie side by side, (1, 1, 1, N, C)."""
        return self.emit(relax.op.reshape(self.plain(var), (1, 1, 1, *static_shape(var))))

    def plain(self, expression: relax.Expr) -> relax.Expr:
        """The expression over the new function's variables, every tensor as the original has it."""
        if isinstance(expression, relax.Var):
            return self._plain_variable(expression)
        if isinstance(expression, relax.Call):
            arguments = [self.plain(arg) for arg in expression.args]
            return relax.Call(expression.op, arguments, expression.attrs, expression.ty_args)
        if isinstance(expression, relax.Tuple):
            return relax.Tuple([self.plain(field) for field in expression.fields])
        if isinstance(expression, relax.TupleGetItem):
            return relax.TupleGetItem(self.plain(expression.tuple_value), expression.index)
        return expression

    def _plain_variable(self, var: relax.Var) -> relax.Expr:
        if var not in self._plain:
            self._plain[var] = self._constant(var) if var in self.constants else self._unpacked(var)
        return self._plain[var]

    def _constant(self, var: relax.Var) -> relax.Expr:
        return relax.const(np.ascontiguousarray(self.constants.value(var)), str(var.ty.dtype))

    def _unpacked(self, var: relax.Var) -> relax.Expr:
        merged = self.blocked(var)
        if static_shape(var)[2:] not in ((1, 1), ()):
            merged = self.emit(relax.op.permute_dims(merged, [0, 1, 4, 2, 3]))
        return self.emit(relax.op.reshape(merged, static_shape(var)))
