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
SCREEN_RATIO = 0.85
"""Below this part of the original's score on a few images, a candidate is not scored on all of them."""


@dataclass(frozen=True, eq=False)
class ProxyCheck:
    """Holds candidates against ``original``, the score of the original network on ``minibatch`` by ``proxy``.

    A ``screen`` is the same check on the first few images, which rejects clear cases without scoring the rest.
    """

    proxy: Proxy
    minibatch: Minibatch
    original: float
    screen: ProxyCheck | None = None

    @staticmethod
    def of(module: nn.Module, proxy: Proxy, minibatch: Minibatch, screen_images: int = 0) -> ProxyCheck:
        """The check for candidates of ``module``.

        With ``screen_images``, candidates that reach less than `SCREEN_RATIO` on so many images are rejected. Raises
        `ArgumentError` if nothing can be held against the network: it has no convolution that candidates could change,
        or its score is no number or zero; `DataError` if images or labels are unusable.
        """
        if not convolutions(module):
            raise ArgumentError("the network has no two-dimensional convolution that a candidate could change")
        require_usable(module, minibatch, proxy.title)
        screens = 0 < screen_images < len(minibatch)
        screen = ProxyCheck.of(module, proxy, minibatch.first(screen_images)) if screens else None
        original = proxy.score(module, minibatch)
        if not isfinite(original) or original == 0:
            raise ArgumentError(
                f"of the original network, {proxy.title} is {original:g}, so no candidate can be held against it; "
                "look for weights that are no numbers, or all zero, and for a path from input to output"
            )
        return ProxyCheck(proxy, minibatch, original, screen)

    def judge(self, module: nn.Module) -> Verdict:
        """Legal if the score of ``module`` is not below the original's."""
        if self.screen is not None:
            screened = self.screen._judge(module, 1 - SCREEN_RATIO)
            if not screened.legal:
                return screened
        return self._judge(module, ROUNDING)

    def _judge(self, module: nn.Module, slack: float) -> Verdict:
        """Legal if the score is no more than this part of the original's below it."""
        name, score = self.proxy.name, self.proxy.score(module, self.minibatch)
        scores = {name: score, f"{name}_original": self.original, "images": len(self.minibatch)}
        title = self.proxy.title[0].upper() + self.proxy.title[1:]
        if not isfinite(score):
            return Verdict(False, name, f"{title} is {score}", scores=scores)
        compared = f"{title} {score:.3g} against the original's {self.original:.3g}"
        if score >= self.original - slack * abs(self.original):
            return Verdict(True, name, compared, scores=scores)
        return Verdict(False, name, f"{compared}: below", scores=scores)
