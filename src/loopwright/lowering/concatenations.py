"""Which concatenations along the channels share a buffer, so that what they join is written there and never copied.

Of concatenations that are parts of each other, as a dense block has them, the largest has a buffer of its own. The
others are ranges of its channels, and so are their parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from tvm import relax

from loopwright.lowering.constants import operation_name, static_shape
from loopwright.lowering.fusion import is_image
from loopwright.lowering.layout import Channels


@dataclass(frozen=True, eq=False)
class Whole:
    """The concatenation ``var`` of ``parts``, images (N, C, H, W), that has a buffer of its own."""

    var: relax.Var
    parts: tuple[relax.Var, ...]

    @cached_property
    def bounds(self) -> list[int]:
        """The first channel of each part, and the number of all channels."""
        return list(accumulate((static_shape(part)[1] for part in self.parts), initial=0))

    def place(self, first: int, count: int) -> Place:
        """Where ``count`` parts lie, from number ``first`` on."""
        return Place(self, self.bounds[first], self.bounds[first + count] - self.bounds[first])

    def position(self, parts: Sequence[relax.Var]) -> int | None:
        """The number of the part from which on the parts are ``parts``; None if they are nowhere."""
        starts = range(len(self.parts) - len(parts) + 1)
        return next((k for k in starts if list(self.parts[k : k + len(parts)]) == list(parts)), None)


@dataclass(frozen=True)
class Place:
    """The ``channels`` channels of a whole from number ``first`` on."""

    whole: Whole
    first: int
    channels: int

    @property
    def within(self) -> Channels:
        """These channels among all of the whole."""
        return Channels(self.whole.bounds[-1], self.first)

    @property
    def parts(self) -> list[tuple[relax.Var, Place]]:
        """The whole's parts that lie in it, and where."""
        places = [(part, self.whole.place(k, 1)) for k, part in enumerate(self.whole.parts)]
        end = self.first + self.channels
        return [(part, own) for part, own in places if self.first <= own.first and own.first + own.channels <= end]


class Concatenations:
    """The places of all concatenations of ``bindings`` (``joined``), and of the parts that have one (``parts``).

    A part has a single place: what is joined once more has to be copied.
    """

    def __init__(self, bindings: Sequence[relax.VarBinding]):
        self.joined: dict[relax.Var, Place] = {}
        self.parts: dict[relax.Var, Place] = {}
        self._fields = {b.var: list(b.value.args[0].fields) for b in bindings if is_concatenation(b.value)}
        flat: dict[relax.Var, list[relax.Var]] = {}
        for var, fields in self._fields.items():
            flat[var] = [own for field in fields for own in flat.get(field, [field])]
        wholes: list[Whole] = []
        for var in sorted(flat, key=lambda var: -len(flat[var])):
            found = ((whole, whole.position(flat[var])) for whole in wholes)
            place = next((whole.place(k, len(flat[var])) for whole, k in found if k is not None), None)
            if place is None:
                wholes.append(self._whole(var))
                place = wholes[-1].place(0, len(wholes[-1].parts))
            self.joined[var] = place

    def _whole(self, var: relax.Var) -> Whole:
        """A buffer for ``var``, the place of all parts that have none."""
        whole = Whole(var, tuple(self._parts_of(var)))
        for k, part in enumerate(whole.parts):
            if part not in self.joined:
                self.parts.setdefault(part, whole.place(k, 1))
        return whole

    def _parts_of(self, var: relax.Var) -> list[relax.Var]:
        """What ``var`` joins, the parts of concatenations without a place each on its own."""
        if var not in self._fields or var in self.joined:
            return [var]
        return [part for field in self._fields[var] for part in self._parts_of(field)]


def is_concatenation(expression: relax.Expr) -> bool:
    """Whether it joins images in float32 along the channels."""
    if operation_name(expression) != "relax.concat" or int(expression.attrs.axis) != 1:
        return False
    fields = expression.args[0].fields if isinstance(expression.args[0], relax.Tuple) else []
    return bool(fields) and all(isinstance(field, relax.Var) and is_image(field) for field in fields)
