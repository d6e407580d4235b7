"""Where a kernel reads its input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from loopwright.ir.affine import Affine
from loopwright.lowering.schedules.digits import Axes, Digits
from loopwright.lowering.schedules.scope import Scope
from loopwright.lowering.schedules.vectors import Lanes, load
from loopwright.lowering.tir import Expression


@dataclass(frozen=True)
class Source:
    """Blocked images: an instance reads the element ``axes`` (channel, row, column, over the digits) of an image of
    ``buffer``, by default of its own image, otherwise of number ``image``, which is over the digits too."""

    buffer: Any
    axes: Axes
    image: Affine | None = None

    @property
    def rows(self) -> int:
        """Of an image."""
        return int(self.buffer.shape[2])

    @property
    def columns(self) -> int:
        """Of an image."""
        return int(self.buffer.shape[3])

    def load(self, digits: Digits, scope: Scope) -> Expression:
        """What the lanes of an instance read."""
        if self.image is not None:
            scope = replace(scope, variables={**scope.variables, "image": scope.value(self.image)})
        offsets = digits.lane_offsets(dim.input[0] for dim in digits.contraction.dims)
        return load(self.buffer, Lanes(digits.first_lane(self.axes), offsets), scope)
