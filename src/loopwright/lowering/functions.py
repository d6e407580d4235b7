"""The compiled network's own functions, each added once, and calls of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import tvm
from tvm import relax, tirx

OPAQUE = 8
"""TVM's mark of a function that its own fusion leaves alone."""


class Functions:
    """The TIR functions of the module that ``builder`` builds."""

    def __init__(self, builder: relax.BlockBuilder):
        self._builder = builder
        self._added: dict[Hashable, tvm.ir.GlobalVar] = {}

    def call(
        self,
        name: str,
        key: Hashable,
        build: Callable[[], tirx.PrimFunc],
        arguments: Sequence[relax.Expr],
        shape: Sequence[int],
    ) -> relax.Var:
        """The float32 tensor of ``shape`` that a function makes of ``arguments``; ``build`` gives the function, at the
        first call with this ``name`` and ``key``."""
        if (name, key) not in self._added:
            self._added[name, key] = self._add(f"{name}_{len(self._added)}", build())
        function, result = self._added[name, key], relax.TensorType(tuple(shape), "float32")
        return self._builder.emit(relax.op.call_tir(function, relax.Tuple(list(arguments)), result))

    def _add(self, name: str, function: tirx.PrimFunc) -> tvm.ir.GlobalVar:
        attributes = {"global_symbol": name, "op_pattern": OPAQUE, "tirx.is_scheduled": True}
        return self._builder.add_func(function.with_attr(attributes), name)
