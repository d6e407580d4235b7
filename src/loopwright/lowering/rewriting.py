"""The imported function -> the same function with every convolution, and what follows it, as one of our kernels.

Activations stay in blocked layout from convolution to convolution.
"""

from __future__ import annotations

import tvm
from tvm import relax

from loopwright.lowering.blocked_operations import blocked_call
from loopwright.lowering.constants import Constants, operation_name, static_shape
from loopwright.lowering.fusion import FusedConvolution, Fusion
from loopwright.lowering.kernel import Kernel
from loopwright.lowering.layout import blocked_shape
from loopwright.lowering.network_kernels import NetworkKernels
from loopwright.lowering.relax_import import ImportedNetwork
from loopwright.lowering.values import Values

OPAQUE = 8
"""TVM's mark of a function that its own fusion leaves alone."""

SILENT = frozenset({"", "relax.reshape", "relax.permute_dims", "relax.matmul", "relax.flatten"})
"""What is no note to the user when it falls back: there is nothing to gain from blocked layout."""


class Rewriting:
    """One pass over the function; ``module`` is the result, ``notes`` say what was left to TVM."""

    def __init__(self, imported: ImportedNetwork, kernels: NetworkKernels, lanes: int):
        self._kernels = kernels
        self._lanes = lanes
        self._builder = relax.BlockBuilder()
        self._constants = Constants(imported.function.params[imported.input_count :], imported.parameters)
        self._values = Values(self._builder, self._constants, lanes)
        self._functions: dict[int, tuple[Kernel, tvm.ir.GlobalVar]] = {}
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
        if binding.var in fusion.inside:
            return
        if binding.var in fusion.chains:
            self._values.set_blocked(binding.var, self._convolution(fusion.chains[binding.var]))
            return
        blocked = blocked_call(binding.value, self._values)
        if blocked is not None:
            self._values.set_blocked(binding.var, self._values.emit(blocked))
            return
        self._values.set_plain(binding.var, self._values.emit(self._values.plain(binding.value)))
        self._note(binding)

    def _convolution(self, fused: FusedConvolution) -> relax.Var:
        bound = self._kernels.bind(fused, self._constants.value(fused.call.args[1]))
        arguments = [self._values.blocked(fused.call.args[0]), *map(relax.const, bound.constants)]
        if fused.residual is not None:
            arguments.append(self._values.blocked(fused.residual))
        n, *shape = static_shape(fused.result)
        stored = relax.TensorType(blocked_shape(n, tuple(shape), self._lanes), "float32")
        return self._values.emit(relax.op.call_tir(self._function(bound.kernel), relax.Tuple(arguments), stored))

    def _function(self, kernel: Kernel) -> tvm.ir.GlobalVar:
        """The module's function of a kernel, added once."""
        if id(kernel) not in self._functions:
            name = f"convolution_{len(self._functions)}"
            attributes = {"global_symbol": name, "op_pattern": OPAQUE, "tirx.is_scheduled": True}
            function = kernel.primfunc.with_attr(attributes)
            self._functions[id(kernel)] = (kernel, self._builder.add_func(function, name))
        return self._functions[id(kernel)][1]

    def _note(self, binding: relax.VarBinding) -> None:
        operation = operation_name(binding.value)
        shape = static_shape(binding.var)
        if len(shape) == 4 and operation not in SILENT:
            self.notes.append(f"{operation.removeprefix('relax.')} of output shape {shape} is left to TVM")
