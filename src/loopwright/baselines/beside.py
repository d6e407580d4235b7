"""An optimized network, timed beside the one that it was made from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loopwright.baselines.peers.loopwright import Loopwright
from loopwright.baselines.task import Shape, Task, is_folder
from loopwright.errors import ArgumentError
from loopwright.search.deliver import read_spec

if TYPE_CHECKING:
    from torch import nn

    from loopwright.models.network import Network


class Beside(Loopwright):
    """The network in ``folder``, which `optimize` wrote, compiled as ours is; its input has the task's ``shape``.

    Raises `ArgumentError` for a folder that holds no such network.
    """

    same = False

    def __init__(self, folder: str, shape: Shape):
        if not is_folder(folder):
            raise ArgumentError(f"there is no folder {folder} to compare with; name one that optimize wrote")
        own = read_spec(folder).input_shape
        if own != shape:
            texts = [",".join(map(str, sizes)) for sizes in (own, shape)]
            raise ArgumentError(f"the network in {folder} has the input {texts[0]}, not {texts[1]}")
        self.name = folder

    def source(self, task: Task) -> tuple[Network, nn.Module]:
        return replace(task, model=self.name).traced()
