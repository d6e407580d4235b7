"""The compiled network's own functions, each added once, and calls of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import tvm
from tvm import relax, tirx

OPAQUE = 8
"""TVM's mark of a function that its own fusion leaves alone."""


@dataclass(frozen=True, eq=False)
class KernelCall:
    """A call of the function that ``build`` gives, which is asked only once for each ``name`` and ``key``."""

    name: str
    key: Hashable
    build: Callable[[], tirx.PrimFunc]
    arguments: Sequence[relax.Expr]


class Functions:
    """The TIR functions of the module that ``builder`` builds."""

    def __init__(self, builder: relax.BlockBuilder):
        self._builder = builder
        self._added: dict[Hashable, tvm.ir.GlobalVar] = {}

    def emit(self, call: KernelCall, shape: Sequence[int], buffer: relax.Var | None = None) -> relax.Var:
        """The float32 tensor of ``shape`` that the call makes.

        With ``buffer``, a tensor of this shape, the call writes some of its elements in place and the result has them
        all; the variable ``buffer`` must not be read after that for those elements.
        """
        key = call.name, call.key
        if key not in self._added:
            self._added[key] = self._add(f"{call.name}_{len(self._added)}", call.build())
        function, result = self._added[key], relax.TensorType(tuple(shape), "float32")
        if buffer is None:
            return self._builder.emit(relax.op.call_tir(function, relax.Tuple(list(call.arguments)), result))
        given, last = relax.Tuple([*call.arguments, buffer]), len(call.arguments)
        return self._builder.emit(relax.op.call_tir_inplace(function, given, [last], result))

    def _add(self, name: str, function: tirx.PrimFunc) -> tvm.ir.GlobalVar:
        attributes = {"global_symbol": name, "op_pattern": OPAQUE, "tirx.is_scheduled": True}
        return self._builder.add_func(function.with_attr(attributes), name)
