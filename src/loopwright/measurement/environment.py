"""What a timing depends on besides the kernel: software versions, processor, threads."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version

from loopwright.targets.cpu import CPU_INFO
from loopwright.targets.nvidia import gpu_here
from loopwright.targets.target import Target


def environment(target: Target) -> dict[str, str]:
    """The environment of timings on ``target``, as text by name."""
    here = gpu_here() if target.gpu is not None else None
    return {
        **({} if here is None else {"gpu": here.name}),
        "processor": processor_name(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "tvm": version("apache-tvm"),
        "numpy": version("numpy"),
        "target": json.dumps(target.identity, sort_keys=True),
        "threads": str(target.threads),
    }


def environment_hash(environment: Mapping[str, str]) -> str:
    """A short key, equal for equal environments."""
    return hashlib.sha256(json.dumps(dict(environment), sort_keys=True).encode()).hexdigest()[:16]


def processor_name() -> str:
    """The processor's name as the operating system gives it."""
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
