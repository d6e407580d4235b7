"""What a lowering has to know of the hardware it generates code for."""

from __future__ import annotations

from dataclasses import dataclass

GPU_BLOCK = 16
FLOAT32, TF32, BF16 = "float32", "tf32", "bf16"
PRECISIONS = (FLOAT32, TF32, BF16)
TENSOR_CORES_FROM = 80
"""The first architecture whose tensor cores multiply tf32 and bfloat16, as the number in ``sm_80``."""


@dataclass(frozen=True)
class GpuLimits:
    """What a kernel may ask of a GPU: the most blocks and the most threads of a block along x, y and z, the most
    threads of a block in all, the most shared memory of a block, and how many multiprocessors run blocks."""

    blocks: tuple[int, int, int]
    threads: tuple[int, int, int]
    threads_per_block: int
    shared_bytes: int
    multiprocessors: int


@dataclass(frozen=True)
class Target:
    """One processor, or with ``gpu`` a graphics processor. ``vector_lanes`` counts float32 values of a register,
    ``vector_registers`` those registers, ``threads`` the threads a kernel may use (of a GPU, those of the processor
    that drives it); cache sizes are bytes of one core. ``features`` are LLVM's attributes; ``triple`` is LLVM's name of
    the machine, empty for the one this runs on. ``precision`` is what factors of products may be rounded to; sums are
    float32."""

    name: str
    kind: str
    processor: str
    features: tuple[str, ...]
    vector_lanes: int
    vector_registers: int
    threads: int
    l1_bytes: int
    l2_bytes: int
    gpu: GpuLimits | None = None
    triple: str = ""
    precision: str = FLOAT32

    @property
    def activation_block(self) -> int:
        """The most channels of an activation that lie side by side: those of a vector; on a GPU two sectors of 32
        bytes, which neighbouring threads read together."""
        return self.vector_lanes if self.gpu is None else GPU_BLOCK

    @property
    def precisions(self) -> tuple[str, ...]:
        """All that it has."""
        tensor_cores = self.gpu is not None and int(self.processor.removeprefix("sm_")) >= TENSOR_CORES_FROM
        return PRECISIONS if tensor_cores else (FLOAT32,)

    @property
    def label(self) -> str:
        """The name, with a precision that is not the usual one."""
        return self.name if self.precision == FLOAT32 else f"{self.name} {self.precision}"

    @property
    def identity(self) -> dict[str, object]:
        """What tells kernels and timings on it from those on others, as plain data: `tvm_target`, and a precision that
        is not the usual one."""
        precision = {} if self.precision == FLOAT32 else {"precision": self.precision}
        return {**self.tvm_target, **precision}

    @property
    def tvm_target(self) -> dict[str, object]:
        """The dictionary form that ``tvm.target.Target`` takes."""
        if self.gpu is not None:
            return {"kind": self.kind, "arch": self.processor}
        target: dict[str, object] = {"kind": self.kind, "num-cores": self.threads}
        if self.triple:
            target["mtriple"] = self.triple
        if self.processor:
            target["mcpu"] = self.processor
        if self.features:
            target["mattr"] = list(self.features)
        return target
