"""Constants as read-only data of the shared library, used where the system maps them.

TVM's executable stores constants as one blob that is copied when the library is loaded, so that a process holds every
weight at least twice. Here the executable asks a C function of the library for each constant, and that function hands
out a tensor over the library's own data: weights are read from the file when a kernel first touches them, and processes
share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np
import tvm
from tvm import relax
from tvm.ir.expr import GenericConst
from tvm_ffi import libinfo

GETTER = "network_constant"
"""The function of the library that takes a constant's number and gives the tensor."""

DATA, SOURCE_FILE = "constants.bin", "constants.c"
ALIGNMENT = 64
DLPACK_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
"""NumPy's kinds of numbers -> DLDataTypeCode."""

SOURCE = Template(
    """\
#include <tvm/ffi/c_api.h>

#ifdef __cplusplus
#define C_SYMBOL extern "C"
#else
#define C_SYMBOL extern
#endif

__asm__(
    ".section .rodata\\n"
    ".balign $alignment\\n"
    ".hidden network_constants\\n"
    ".globl network_constants\\n"
    "network_constants:\\n"
    ".incbin \\"$data\\"\\n"
    ".balign $alignment\\n"
    ".text\\n");
C_SYMBOL char network_constants[] __attribute__((visibility("hidden")));

static int64_t shapes[] = {$shapes};
static void keep(DLManagedTensor* tensor) { (void)tensor; }
static DLManagedTensor tensors[] = {
$tensors
};

C_SYMBOL __attribute__((visibility("default")))
int __tvm_ffi_$getter(void* handle, const TVMFFIAny* args, int32_t count, TVMFFIAny* result) {
  TVMFFIObjectHandle tensor = NULL;
  (void)handle;
  (void)count;
  if (TVMFFITensorFromDLPack(&tensors[args[0].v_int64], 0, 0, &tensor) != 0) return -1;
  result->type_index = kTVMFFITensor;
  result->zero_padding = 0;
  result->v_obj = (TVMFFIObject*)tensor;
  return 0;
}
"""
)
TENSOR = "  {{network_constants + %d, {kDLCPU, 0}, %d, {%d, %d, 1}, shapes + %d, NULL, 0}, NULL, keep},"


class LinkedConstants:
    """The constants of one module, in the order of their numbers; `take_out` or `count` fills it while the module is
    lowered. Those that were only counted are ``in_executable``, and nothing is to be linked."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.in_executable = False
        self._numbers: dict[GenericConst, int] = {}

    @property
    def memory_bytes(self) -> int:
        """What the constants take in the library, without padding."""
        return sum(array.nbytes for array in self.arrays)

    def take_out(self, module: tvm.IRModule) -> tvm.IRModule:
        """The module with a call of the library's function in place of each constant of its Relax functions."""
        for name, function in module.functions_items():
            if isinstance(function, relax.Function):
                module[name] = _Calls(module, self).visit_expr(function)
        return module

    def count(self, module: tvm.IRModule) -> tvm.IRModule:
        """The module as it is, its constants only counted: a GPU's executable keeps them, for its own memory."""
        self.in_executable = True
        for _, function in module.functions_items():
            if isinstance(function, relax.Function):
                relax.analysis.post_order_visit(function, self._count)
        return module

    def _count(self, expression: relax.Expr) -> None:
        if isinstance(expression, GenericConst) and isinstance(expression.ty, relax.TensorType):
            self.number(expression)

    def number(self, constant: GenericConst) -> int:
        """The constant's number; equal objects have the same."""
        if constant not in self._numbers:
            self._numbers[constant] = len(self.arrays)
            self.arrays.append(constant.value.numpy())
        return self._numbers[constant]

    def write_source(self, folder: Path) -> list[Path]:
        """Writes the C file that makes the constants part of the library, and their data; gives both paths, or none
        where they are in the executable.

        The C file has to be compiled in that folder, where it finds the data.
        """
        if self.in_executable:
            return []
        data, source = folder / DATA, folder / SOURCE_FILE
        with data.open("wb") as file:
            for array in self.arrays:
                file.write(np.ascontiguousarray(array).tobytes().ljust(_padded(array.nbytes), b"\0"))
        source.write_text(_source(self.arrays), encoding="utf-8")
        return [source, data]


def link_options() -> list[str]:
    """What the compiler needs for the C file: TVM's header and runtime library."""
    library = Path(libinfo.find_libtvm_ffi())
    headers = (libinfo.find_include_path(), libinfo.find_dlpack_include_path())
    return [*(f"-I{path}" for path in headers), f"-L{library.parent}", "-ltvm_ffi"]


@relax.expr_functor.mutator
class _Calls(relax.PyExprMutator):
    def __init__(self, module: tvm.IRModule, constants: LinkedConstants):
        super().__init__(module)
        self._constants = constants

    def visit_generic_const_(self, op: GenericConst) -> relax.Expr:
        if not isinstance(op.ty, relax.TensorType):
            return op
        number = relax.prim_value(self._constants.number(op))
        return self.builder_.emit(relax.Call(relax.ExternFunc(GETTER), [number], None, [op.ty]))


def _source(arrays: Sequence[np.ndarray]) -> str:
    shapes: list[int] = []
    tensors, offset = [], 0
    for array in arrays:
        code, bits = DLPACK_CODES[array.dtype.kind], 8 * array.dtype.itemsize
        tensors.append(TENSOR % (offset, array.ndim, code, bits, len(shapes)))
        shapes += array.shape
        offset += _padded(array.nbytes)
    return SOURCE.substitute(
        alignment=ALIGNMENT,
        data=DATA,
        getter=GETTER,
        shapes=", ".join(map(str, shapes)) or "0",
        tensors="\n".join(tensors) or "  {{0}}",
    )


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
