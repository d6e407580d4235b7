"""Drawing random numbers from an explicit seed without touching the caller's random state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, devices: Iterable[torch.device] = ()) -> Iterator[None]:
    """Inside, PyTorch's default CPU generator, and those of the GPUs among ``devices``, start from ``seed``; afterwards
    they are what they were before."""
    generators = [torch.default_generator, *(_generator(device) for device in devices if device.type == "cuda")]
    states = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(seed)
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _generator(device: torch.device) -> torch.Generator:
    torch.cuda.init()
    return torch.cuda.default_generators[device.index or 0]
