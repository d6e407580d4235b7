"""Where PyTorch computes."""

from __future__ import annotations

import torch

from loopwright.errors import ArgumentError


def require_device(name: str) -> None:
    """Raises `ArgumentError` unless PyTorch can compute on the device ``name``: ``cpu``, ``cuda``, ``cuda:1``, ..."""
    known = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if name in known or (name == "cuda" and len(known) > 1):
        return
    if name.startswith("cuda") and len(known) == 1:
        raise ArgumentError(f"there is no device {name!r}: PyTorch finds no CUDA GPU here; take --device cpu")
    raise ArgumentError(f"there is no device {name!r} here; there are: {', '.join(known)}")


def device_name(device: torch.device) -> str:
    """``cpu``, or what the GPU is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
