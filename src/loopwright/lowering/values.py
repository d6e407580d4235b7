"""The values of a network while it is rewritten: as (N, C, H, W), in blocked layout, or both, packed when needed.

Concatenations along the channels, and what they join, are channels of a common buffer where
`loopwright.lowering.concatenations` gives them a place.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from tvm import relax

from loopwright.lowering.concatenations import Concatenations, Place, Whole
from loopwright.lowering.constants import Constants, static_shape
from loopwright.lowering.epilogue import Epilogue
from loopwright.lowering.functions import Functions, KernelCall
from loopwright.lowering.layout import Channels, blocked_shape, channel_block
from loopwright.lowering.pointwise import build_pointwise
from loopwright.lowering.pooling import Pooling, build_pooling
from loopwright.targets.target import Target

FEW_CHANNELS = 3
"""Images of at most so many channels, those that a network begins with, are not blocked for a convolution."""


class Values:
    """Maps the variables of the original function to those of the new one, in the layouts that were asked for.

    A value (N, C) in blocked layout is one of single rows and columns.
    """

    def __init__(
        self,
        builder: relax.BlockBuilder,
        constants: Constants,
        functions: Functions,
        concatenations: Concatenations,
        target: Target,
    ):
        self._builder = builder
        self.constants = constants
        self._functions = functions
        self._target = target
        self._plain: dict[relax.Var, relax.Expr] = {}
        self._blocked: dict[relax.Var, relax.Expr] = {}
        self._concatenations = concatenations
        self._places: dict[relax.Var, Place] = {}
        self._buffers: dict[Whole, relax.Var] = {}
        self._filled: set[Place] = set()

    def emit(self, expression: relax.Expr) -> relax.Var:
        """A new variable of the new function for the expression."""
        return self._builder.emit(expression)

    def set_plain(self, var: relax.Var, expression: relax.Expr) -> None:
        """Gives an original variable its value as the original has it."""
        self._plain[var] = expression

    def set_blocked(self, var: relax.Var, expression: relax.Expr) -> None:
        """Gives an original variable its value in blocked layout."""
        self._blocked[var] = expression

    def is_blocked(self, expression: relax.Expr) -> bool:
        """Whether the value of an original variable is at hand in blocked layout, alone or as part of another."""
        return isinstance(expression, relax.Var) and (expression in self._blocked or expression in self._places)

    def place(self, var: relax.Var) -> Place | None:
        """The place of the value in a concatenation, where it can be computed straight away."""
        return self._concatenations.parts.get(var)

    def aligned_place(self, var: relax.Var) -> Place | None:
        """The value's place, if that is made of whole blocks as large as those of a tensor of its own."""
        place = self.place(var)
        return place if place is not None and self._is_aligned(place) else None

    def aligned_source(self, var: relax.Var) -> tuple[relax.Expr, Channels]:
        """A tensor in blocked layout that has the value as whole blocks of its channels."""
        place = self._places.get(var)
        alone = place is None or not self._is_aligned(place)
        return (self.image(var), Channels(static_shape(var)[1])) if alone else self._source(var)

    def lies_in_blocks(self, var: relax.Var) -> bool:
        """Whether the value is at hand in blocked layout as whole blocks of a tensor's channels."""
        place = self._places.get(var)
        return self.is_blocked(var) and (place is None or self._is_aligned(place))

    def _is_aligned(self, place: Place) -> bool:
        block = self.channel_block(place.within.whole)
        return block == self.channel_block(place.channels) and place.first % block == 0

    def compute(self, var: relax.Var, call: KernelCall, place: Place | None) -> None:
        """Gives an original variable the value that a call makes in blocked layout: a tensor, or part of another."""
        n, *shape = static_shape(var if place is None else place.whole.var)
        stored = blocked_shape(n, tuple(shape), self._target.activation_block)
        if place is None:
            self._blocked[var] = self._functions.emit(call, stored)
        else:
            self._buffers[place.whole] = self._functions.emit(call, stored, self._buffers.get(place.whole))
            self._filled.add(place)
            self._places.setdefault(var, place)

    def compute_pointwise(
        self,
        var: relax.Var,
        source: relax.Var,
        epilogue: Epilogue,
        arguments: list[relax.Expr],
        place: Place | None,
    ) -> None:
        """Gives ``var`` what the epilogue, whose buffers are ``arguments``, makes of the value of ``source``."""
        image, read = self._source(source)
        n, channels, *size = static_shape(source)
        key = (read, Channels(channels) if place is None else place.within, (channels, *size), n, epilogue)
        build = partial(build_pointwise, *key, self._target)
        self.compute(var, KernelCall("pointwise", key, build, [image, *arguments]), place)

    def _source(self, var: relax.Var) -> tuple[relax.Expr, Channels]:
        """A tensor in blocked layout that has the value among its channels."""
        if var in self._places and var not in self._blocked:
            return self._buffers[self._places[var].whole], self._places[var].within
        return self.blocked(var), Channels(static_shape(var)[1])

    def join(self, var: relax.Var) -> bool:
        """Gives a variable its value if it is a concatenation with parts in blocked layout, and says whether it is."""
        place = self._concatenations.joined.get(var)
        if place is None or not any(self.is_blocked(part) for part, _ in place.parts):
            return False
        for part, own in place.parts:
            if own not in self._filled:
                self._copy(part, own)
        self._places[var] = place
        return True

    def _copy(self, var: relax.Var, place: Place | None = None) -> None:
        """Puts the value at a place, or into a tensor of its own."""
        nothing = relax.const(np.zeros(static_shape(var)[1], "float32"))
        self.compute_pointwise(var, var, Epilogue(shift=True), [nothing], place)

    def pooled(self, var: relax.Var, pooling: Pooling) -> relax.Var:
        """What a pooling makes of the value, in blocked layout."""
        n, channels = static_shape(var)[:2]
        key = (pooling, n, channels)
        shape = blocked_shape(n, (channels, *pooling.counts), self._target.activation_block)
        given = [self.blocked(var), relax.const(np.full(shape[-1:], pooling.neutral, "float32"))]
        return self._functions.emit(
            KernelCall("pooling", key, partial(build_pooling, *key, self._target), given), shape
        )

    def block(self, expression: relax.Expr) -> int:
        """How many channels of an (N, C, H, W) value lie side by side in blocked layout."""
        return self.channel_block(static_shape(expression)[1])

    def channel_block(self, channels: int) -> int:
        """How many of ``channels`` channels would lie side by side."""
        return channel_block(channels, self._target.activation_block)

    def blocked(self, var: relax.Var) -> relax.Expr:
        """The value in blocked layout, (N, C / block, H, W, block)."""
        place = self._places.get(var)
        if var in self._blocked or place is None:
            return self._packed(var)
        if place.channels == place.within.whole:
            return self._buffers[place.whole]
        self._copy(var)
        return self._blocked[var]

    def _packed(self, var: relax.Var) -> relax.Expr:
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
