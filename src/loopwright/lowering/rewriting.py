"""The imported function -> the same function with every convolution and linear layer, and what follows it, as one of
our kernels.

Activations stay in blocked layout from convolution to convolution.
"""

from __future__ import annotations

import tvm
from tvm import relax

from loopwright.lowering.blocked_operations import blocked_call, concatenated
from loopwright.lowering.constants import Constants, operation_name, static_shape
from loopwright.lowering.functions import Functions
from loopwright.lowering.fusion import FusedChain, Fusion, is_linear, variables
from loopwright.lowering.layout import blocked_shape
from loopwright.lowering.network_kernels import NetworkKernels
from loopwright.lowering.relax_import import ImportedNetwork
from loopwright.lowering.values import Values

SILENT = frozenset({"", "relax.reshape", "relax.permute_dims", "relax.matmul", "relax.flatten"})
"""What is no note to the user when it falls back: there is nothing to gain from blocked layout."""


class Rewriting:
    """One pass over the function; ``module`` is the result, ``notes`` say what was left to TVM."""

    def __init__(self, imported: ImportedNetwork, kernels: NetworkKernels, lanes: int):
        self._kernels = kernels
        self._lanes = lanes
        self._builder = relax.BlockBuilder()
        self._constants = Constants(imported.function.params[imported.input_count :], imported.parameters)
        self._functions = Functions(self._builder)
        self._values = Values(self._builder, self._constants, self._functions, kernels.target)
        self.notes: list[str] = []
        self.module = self._rewrite(imported)

    def _rewrite(self, imported: ImportedNetwork) -> tvm.IRModule:
        bindings = [binding for binding in imported.bindings if not self._constants.fold(binding)]
        fusion = Fusion(bindings, self._constants, imported.output)
        inputs = [relax.Var(given.name, given.ty) for given in imported.inputs]
        for given, var in zip(imported.inputs, inputs, strict=True):
            self._values.set_plain(given, var)
        with self._builder.function("main", inputs):
            with self._builder.dataflow():
                for binding in bindings:
                    self._rewrite_binding(binding, fusion)
                output = self._builder.emit_output(self._values.plain(imported.output))
            self._builder.emit_func_output(output)
        return self._builder.get()

    def _rewrite_binding(self, binding: relax.VarBinding, fusion: Fusion) -> None:
        if any(self._values.is_blocked(var) for var in variables(binding.value)):
            fusion.begin(binding)
        if fusion.is_inside(binding.var):
            return
        if binding.var in fusion.chains:
            self._rewrite_chain(fusion.chains[binding.var])
        elif (parts := concatenated(binding.value, self._values)) is not None:
            self._values.set_parts(binding.var, parts)
        elif (blocked := blocked_call(binding.value, self._values)) is not None:
            self._values.set_blocked(binding.var, self._values.emit(blocked))
        else:
            self._values.set_plain(binding.var, self._values.emit(self._values.plain(binding.value)))
            self._note(binding)

    def _rewrite_chain(self, fused: FusedChain) -> None:
        if is_linear(fused.source, self._constants):
            self._values.set_plain(fused.result, self._linear(fused))
        else:
            build = self._convolution if isinstance(fused.source, relax.Call) else self._pointwise
            self._values.set_blocked(fused.result, build(fused))

    def _linear(self, fused: FusedChain) -> relax.Var:
        rows, matrix = fused.source.args
        bound = self._kernels.bind_linear(fused, self._constants.value(matrix))
        arguments = [self._values.rows(rows), *map(relax.const, bound.constants)]
        arguments += [] if fused.residual is None else [self._values.rows(fused.residual)]
        count, channels = static_shape(fused.result)
        stored, kernel = (1, 1, 1, count, channels), bound.kernel
        result = self._functions.call("linear", id(kernel), lambda: kernel.primfunc, arguments, stored)
        return self._values.emit(relax.op.reshape(result, (count, channels)))

    def _convolution(self, fused: FusedChain) -> relax.Var:
        x, weight = self._values.image(fused.source.args[0]), self._constants.value(fused.source.args[1])
        bound = self._kernels.bind(fused, weight, input_block=static_shape(x)[-1])
        arguments = [x, *map(relax.const, bound.constants)]
        n, *shape = static_shape(fused.result)
        stored, kernel = blocked_shape(n, tuple(shape), self._lanes), bound.kernel
        arguments += self._residual(fused)
        return self._functions.call("convolution", id(kernel), lambda: kernel.primfunc, arguments, stored)

    def _pointwise(self, fused: FusedChain) -> relax.Var:
        arguments = [*map(relax.const, fused.affine_arguments), *self._residual(fused)]
        return self._values.pointwise(fused.source, fused.epilogue, arguments)

    def _residual(self, fused: FusedChain) -> list[relax.Expr]:
        return [] if fused.residual is None else [self._values.blocked(fused.residual)]

    def _note(self, binding: relax.VarBinding) -> None:
        operation = operation_name(binding.value)
        shape = static_shape(binding.var)
        if len(shape) == 4 and operation not in SILENT:
            self.notes.append(f"{operation.removeprefix('relax.')} of output shape {shape} is left to TVM")
