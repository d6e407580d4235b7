"""The capacity check: a candidate's score at initialisation is not below that of the original network."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from torch import nn

from loopwright.errors import ArgumentError
from loopwright.legality.proxies import Proxy
from loopwright.legality.proxies._passes import require_usable
from loopwright.legality.proxies.fisher import convolutions
from loopwright.legality.verdict import Verdict
from loopwright.models.images import Minibatch

ROUNDING = 1e-4
"""Relative difference of scores that float32 arithmetic in another order may cause."""


@dataclass(frozen=True, eq=False)
class ProxyCheck:
    """Holds candidates against ``original``, the score of the original network on ``minibatch`` by ``proxy``."""

    proxy: Proxy
    minibatch: Minibatch
    original: float

    @staticmethod
    def of(module: nn.Module, proxy: Proxy, minibatch: Minibatch) -> ProxyCheck:
        """The check for candidates of ``module``.

        Raises `ArgumentError` if nothing can be held against the network: it has no convolution that candidates could
        change, or its score is no number or zero; `DataError` if images or labels are unusable.
        """
        require_convolution(module)
        require_usable(module, minibatch, proxy.title)
        original = proxy.score(module, minibatch)
        require_comparable(proxy.title, original)
        return ProxyCheck(proxy, minibatch, original)

    def judge(self, module: nn.Module) -> Verdict:
        """Legal if the score of ``module`` is not below the original's."""
        score = self.proxy.score(module, self.minibatch)
        return exact_verdict(self.proxy.name, self.proxy.title, score, self.original, len(self.minibatch))


def require_convolution(module: nn.Module) -> None:
    """Raises `ArgumentError` if the network has no convolution that candidates could change."""
    if not convolutions(module):
        raise ArgumentError("the network has no two-dimensional convolution that a candidate could change")


def require_comparable(title: str, original: float) -> None:
    """Raises `ArgumentError` if the original's score is no number or zero."""
    if not isfinite(original) or original == 0:
        raise ArgumentError(
            f"of the original network, {title} is {original:g}, so no candidate can be held against it; "
            "look for weights that are no numbers, or all zero, and for a path from input to output"
        )


def exact_verdict(name: str, title: str, score: float, original: float, images: int) -> Verdict:
    """Legal if ``score`` is not below ``original``, both by the proxy ``name`` on all ``images``."""
    scores = {name: score, f"{name}_original": original, "images": images}
    title = title[0].upper() + title[1:]
    if not isfinite(score):
        return Verdict(False, name, f"{title} is {score}", scores=scores)
    compared = f"{title} {score:.3g} against the original's {original:.3g}"
    if score >= original - ROUNDING * abs(original):
        return Verdict(True, name, compared, scores=scores)
    return Verdict(False, name, f"{compared}: below", scores=scores)
