"""What all participants of a benchmark run: one network, one input, as many threads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from loopwright import targets
from loopwright.errors import ArgumentError
from loopwright.targets.processors import require_runnable
from loopwright.targets.target import FLOAT32, Target

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from loopwright.models.network import Network

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """A network to be timed, as text that another process can build it from.

    ``model`` is what `loopwright.models.resolve` takes, or a folder that `optimize` wrote; weights and input are drawn
    from ``seed``. ``input_shape`` is (N, C, H, W). ``folder`` is a temporary folder that the participants share,
    ``store`` the file or address where our own timings are kept, ``trials`` what an autotuner may try,
    ``precision`` what our own products may be rounded to.
    """

    model: str
    input_shape: Shape
    target: str
    threads: int
    folder: Path
    store: Path | str | None = field(default=None, repr=False)  # an address may hold a password
    trials: int = 0
    seed: int = 0
    precision: str = FLOAT32

    @property
    def hardware(self) -> Target:
        return replace(targets.named(self.target, precision=self.precision), threads=self.threads)

    def images(self) -> np.ndarray:
        """The input, float32."""
        import numpy as np

        return np.random.default_rng(self.seed).standard_normal(self.input_shape, dtype=np.float32)

    def module(self) -> nn.Module:
        """The network in evaluation mode, with the same weights in every process."""
        from loopwright.models.resolve import resolve
        from loopwright.search.deliver import load

        if is_folder(self.model):
            return load(self.model).eval()
        return resolve(self.model, self.input_shape).build(self.seed).eval()

    def traced(self) -> tuple[Network, nn.Module]:
        """The original network as it was traced, and `module`, which has its changed layers."""
        import torch

        from loopwright.models.trace import trace
        from loopwright.search.deliver import load_with_network

        if is_folder(self.model):
            network, module = load_with_network(self.model)
            return network, module.eval()
        module = self.module()
        return trace(module, torch.zeros(self.input_shape), self.model), module


def is_folder(model: str) -> bool:
    """Whether ``model`` is a folder on disk rather than a name."""
    return Path(model).is_dir()


def input_shape_of(model: str, wanted: Shape | None) -> Shape:
    """The shape of the network's input; ``wanted`` replaces that of a known name.

    Raises `ArgumentError` if the model is unknown, has no shape, or is a folder made for another shape.
    """
    from loopwright.models.resolve import resolve
    from loopwright.search.deliver import read_spec

    if not is_folder(model):
        return resolve(model, wanted).input_shape
    shape = read_spec(model).input_shape
    if wanted not in (None, shape):
        raise ArgumentError(f"--input: {model} was optimized for {','.join(map(str, shape))}; leave --input out")
    return shape


def runnable(target: str, threads: int | None, precision: str = FLOAT32) -> Target:
    """The target of that name with ``threads`` threads (its own number without it), and a precision.

    Raises `ArgumentError` for an unknown one, one that is not here, or one that has no such precision.
    """
    hardware = targets.named(target, precision=precision)
    require_runnable(hardware)
    return replace(hardware, threads=threads or hardware.threads)
