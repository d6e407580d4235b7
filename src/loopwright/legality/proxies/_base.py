"""What a proxy is. A new one is one new file of this folder, and one expected value in the contract suite."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn

    from loopwright.models.images import Minibatch


class Proxy(ABC):
    """A number that is computed of a network at initialisation and grows with the quality that it predicts.

    ``name`` is a word for tables and files, ``title`` what sentences call the score, ``paper`` the definition that is
    followed: authors, venue, equation or section, and what differs from it.

    Scoring is a function of the module and the minibatch: the same every time, whatever the module's mode, and the
    module is left bit for bit as it was: parameters, buffers, gradients, hooks, modes, and the random state. The
    module's device computes.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]

    @abstractmethod
    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        """The score of ``module``, a classifier (N, C, H, W) -> (N, classes); may be infinite or no number.

        Raises `ArgumentError` for a network that has nothing to score, `DataError` for unusable images or labels.
        """
