"""What a lowering has to know of the hardware it generates code for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One processor. ``vector_lanes`` counts float32 values of a register, ``vector_registers`` those registers,
    ``threads`` the threads a kernel may use; cache sizes are bytes of one core. ``features`` are LLVM's attributes."""

    name: str
    kind: str
    processor: str
    features: tuple[str, ...]
    vector_lanes: int
    vector_registers: int
    threads: int
    l1_bytes: int
    l2_bytes: int

    @property
    def tvm_target(self) -> dict[str, object]:
        """The dictionary form that ``tvm.target.Target`` takes."""
        target: dict[str, object] = {"kind": self.kind, "num-cores": self.threads}
        if self.processor:
            target["mcpu"] = self.processor
        if self.features:
            target["mattr"] = list(self.features)
        return target
