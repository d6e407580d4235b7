"""What a lowering has to know of the hardware it generates code for."""

from __future__ import annotations

from dataclasses import dataclass

GPU_BLOCK = 16


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
    the machine, empty for the one this runs on."""

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

    @property
    def activation_block(self) -> int:
        """The most channels of an activation that lie side by side: those of a vector; on a GPU two sectors of 32
        bytes, which neighbouring threads read together."""
        return self.vector_lanes if self.gpu is None else GPU_BLOCK

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
