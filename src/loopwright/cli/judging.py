"""The verdicts on one transformed nest, in the order in which a search asks for them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loopwright.legality.verdict import Verdict

if TYPE_CHECKING:
    from loopwright.ir.contraction import OperatorForm
    from loopwright.ir.loopnest import LoopNest
    from loopwright.models.network import Network


@dataclass(frozen=True)
class Judge:
    """``strict`` holds sums to their order too; ``images`` images of the folder ``data`` (of the packaged sample
    without it), drawn with ``seed``, are what Fisher Potential is taken on, on ``device``."""

    strict: bool
    data: Path | None
    images: int
    seed: int
    device: str = "cpu"

    def nest(self, nest: LoopNest) -> Verdict:
        """Whether a nest keeps the direction of its dependences."""
        from loopwright.legality import dependences

        return dependences.judge(nest, strict=self.strict)

    def layer(self, network: Network, layer: str, nest: LoopNest) -> Iterator[Verdict]:
        """Whether the network keeps its capacity when ``layer`` computes what ``nest`` computes.

        Fisher Potential is not asked for once the structure is lost.

        Raises DataError for an unusable folder.
        """
        from loopwright.ir.contraction import operator_form
        from loopwright.legality.structure import StructureCheck
        from loopwright.models.dataflow import dataflow

        form = operator_form(nest)
        structure = StructureCheck.of(dataflow(network)).judge({layer: form})
        yield structure
        if structure.legal:
            yield self._fisher(network, layer, form)

    def _fisher(self, network: Network, layer: str, form: OperatorForm) -> Verdict:
        from loopwright.legality.capacity.comparison import ProxyCheck
        from loopwright.legality.proxies.fisher import Fisher, convolutions
        from loopwright.lowering.transformed import transformed
        from loopwright.models.images import load_minibatch

        minibatch = load_minibatch(self.data, self.images, self.seed, network.input_shape)
        original = copy.deepcopy(network.module).to(self.device)
        check = ProxyCheck.of(original, Fisher(convolutions(original)), minibatch)
        return check.judge(transformed(network, {layer: form}).to(self.device))
