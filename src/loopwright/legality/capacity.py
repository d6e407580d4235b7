"""The capacity check: a candidate's Fisher Potential at initialisation is not below that of the original network."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from torch import nn

from loopwright.legality.proxies.fisher import fisher_potential
from loopwright.legality.verdict import Verdict
from loopwright.models.images import Minibatch

CHECK = "fisher"
ROUNDING = 1e-4
"""Relative difference of scores that float32 arithmetic in another order may cause."""
SCREEN_RATIO = 0.85
"""Below this part of the original's score on a few images, a candidate is not scored on all of them."""


@dataclass(frozen=True, eq=False)
class FisherCheck:
    """Holds candidates against ``original``, the score of the original network on ``minibatch`` at ``layers``.

    A ``screen`` is the same check on the first few images, which rejects clear cases without scoring the rest.
    """

    layers: tuple[str, ...]
    minibatch: Minibatch
    original: float
    screen: FisherCheck | None = None

    @staticmethod
    def of(module: nn.Module, layers: tuple[str, ...], minibatch: Minibatch, screen_images: int = 0) -> FisherCheck:
        """The check for candidates of ``module``, scored at the outputs of the submodules ``layers``.

        With ``screen_images``, candidates that reach less than `SCREEN_RATIO` on so many images are rejected.
        """
        screens = 0 < screen_images < len(minibatch)
        screen = FisherCheck.of(module, layers, minibatch.first(screen_images)) if screens else None
        return FisherCheck(layers, minibatch, fisher_potential(module, layers, minibatch).total, screen)

    def judge(self, module: nn.Module) -> Verdict:
        """Legal if the score of ``module`` is not below the original's."""
        if self.screen is not None:
            screened = self.screen._judge(module, SCREEN_RATIO)
            if not screened.legal:
                return screened
        return self._judge(module, 1 - ROUNDING)

    def _judge(self, module: nn.Module, least: float) -> Verdict:
        score = fisher_potential(module, self.layers, self.minibatch).total
        scores = {"fisher": score, "fisher_original": self.original, "images": len(self.minibatch)}
        if not isfinite(score):
            return Verdict(False, CHECK, f"Fisher Potential is {score}", scores=scores)
        compared = f"Fisher Potential {score:.3g} against the original's {self.original:.3g}"
        if score < self.original * least:
            return Verdict(False, CHECK, f"{compared}: below", scores=scores)
        return Verdict(True, CHECK, compared, scores=scores)
