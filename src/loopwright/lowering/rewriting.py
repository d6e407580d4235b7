"""The imported function -> the same function with every convolution and linear layer, and what follows it, as one of
our kernels.

Activations stay in blocked layout from convolution to convolution.
"""

from __future__ import annotations

import tvm
from tvm import relax, tirx

from loopwright.lowering.blocked_operations import blocked_call
from loopwright.lowering.concatenations import Concatenations, Place
from loopwright.lowering.constants import Constants, operation_name, static_shape
from loopwright.lowering.functions import Functions, KernelCall
from loopwright.lowering.fusion import FusedChain, Fusion, is_convolution, is_linear, variables
from loopwright.lowering.network_kernels import NetworkKernels
from loopwright.lowering.relax_import import ImportedNetwork
from loopwright.lowering.values import Values

SILENT = frozenset({"", "relax.reshape", "relax.permute_dims", "relax.matmul", "relax.flatten"})
"""What is no note to the user when it falls back: there is nothing to gain from blocked layout."""


class Rewriting:
    """One pass over the function; ``module`` is the result, ``notes`` say what was left to TVM."""

    def __init__(self, imported: ImportedNetwork, kernels: NetworkKernels):
        self._kernels = kernels
        self._builder = relax.BlockBuilder()
        self._constants = Constants(imported.function.params[imported.input_count :], imported.parameters)
        self._functions = Functions(self._builder)
        concatenations = Concatenations(imported.bindings)
        self._prologues: dict[relax.Var, FusedChain] = {}
        self._values = Values(self._builder, self._constants, self._functions, concatenations, kernels.target)
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
            self._compute(fusion.chains[binding.var], fusion)
        elif self._values.join(binding.var):
            return
        elif (blocked := blocked_call(binding.value, self._values)) is not None:
            self._values.set_blocked(binding.var, self._values.emit(blocked))
        else:
            self._values.set_plain(binding.var, self._values.emit(self._values.plain(binding.value)))
            self._note(binding)

    def _compute(self, fused: FusedChain, fusion: Fusion) -> None:
        if is_linear(fused.source, self._constants):
            self._values.set_plain(fused.result, self._linear(fused))
        elif isinstance(fused.source, relax.Call):
            self._compute_convolution(fused)
        elif self._precedes_convolution(fused, fusion):
            self._prologues[fused.result] = fused
        else:
            arguments = [*map(relax.const, fused.affine_arguments), *self._residual(fused)]
            place = self._values.place(fused.result)
            self._values.compute_pointwise(fused.result, fused.source, fused.epilogue, arguments, place)

    def _precedes_convolution(self, fused: FusedChain, fusion: Fusion) -> bool:
        """Whether an elementwise chain is there for one convolution alone, whose kernel can compute it."""
        user = fusion.only_user(fused.result)
        return (
            user is not None
            and fused.residual is None
            and is_convolution(user.value, self._constants)
            and self._values.lies_in_blocks(fused.source)
            and self._kernels.takes_prologue(user.value)
        )

    def _linear(self, fused: FusedChain) -> relax.Var:
        rows, matrix = fused.source.args
        bound = self._kernels.bind_linear(fused, self._constants.value(matrix))
        arguments = [self._values.rows(rows), *map(relax.const, bound.constants)]
        arguments += [] if fused.residual is None else [self._values.rows(fused.residual)]
        count, channels = static_shape(fused.result)
        kernel = bound.kernel
        call = KernelCall("linear", id(kernel), lambda: kernel.primfunc, arguments)
        result = self._functions.emit(call, (1, 1, 1, count, channels))
        return self._values.emit(relax.op.reshape(result, (count, channels)))

    def _compute_convolution(self, fused: FusedChain) -> None:
        place = self._values.aligned_place(fused.result)
        whole = None if place is None else place.within.whole
        given = fused.source.args[0]
        before = self._prologues.get(given)
        image, read = self._values.aligned_source(given if before is None else before.source)
        weight, block = self._constants.value(fused.source.args[1]), static_shape(image)[-1]
        bound = self._kernels.bind(fused, weight, block, read, whole, None if before is None else before.epilogue)
        made_ready = () if before is None else before.affine_arguments
        arguments = [image, *map(relax.const, bound.constants), *self._residual(fused), *map(relax.const, made_ready)]
        arguments += self._first_block(place)
        kernel = bound.kernel
        self._values.compute(
            fused.result, KernelCall("convolution", id(kernel), lambda: kernel.primfunc, arguments), place
        )

    def _first_block(self, place: Place | None) -> list[relax.Expr]:
        """What tells a kernel where in a concatenation its results start."""
        return [] if place is None else [tirx.IntImm("int32", place.first // self._values.block(place.whole.var))]

    def _residual(self, fused: FusedChain) -> list[relax.Expr]:
        return [] if fused.residual is None else [self._values.blocked(fused.residual)]

    def _note(self, binding: relax.VarBinding) -> None:
        operation = operation_name(binding.value)
        shape = static_shape(binding.var)
        if len(shape) == 4 and operation not in SILENT:
            self.notes.append(f"{operation.removeprefix('relax.')} of output shape {shape} is left to TVM")
