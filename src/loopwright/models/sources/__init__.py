"""Networks known by name. A file of this folder registers what its ``MODELS`` holds; adding one file adds its models. A
file may also have a ``FAMILY`` of more networks than can be listed: its ``member`` makes the one of a name.

Importing this package loads no framework; `registered` imports the files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loopwright.registry import modules

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ModelSource:
    """A network that can be built by name.

    ``factory`` draws its weights from PyTorch's default generator; `build` makes that reproducible. ``input_shape`` is
    (N, C, H, W).
    """

    name: str
    factory: Callable[[], nn.Module]
    input_shape: Shape
    description: str

    def build(self, seed: int = 0) -> nn.Module:
        """The module, initialised from ``seed`` alone; PyTorch's generator is left as it was."""
        from loopwright.models.seeding import seeded

        with seeded(seed):
            return self.factory()


def registered() -> dict[str, ModelSource]:
    """All models of all files of this folder by name, in the order of the files' names and then as listed there."""
    return {name: source for module in modules(__name__) for name, source in module.MODELS.items()}


def families() -> dict[str, Callable[[str], ModelSource]]:
    """For each family, what makes the network of a name; it raises ArgumentError for a name that is none."""
    return {module.FAMILY: module.member for module in modules(__name__) if hasattr(module, "FAMILY")}
