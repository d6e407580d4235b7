"""How sequences are continued, within bounds, and which continuations can be left out.

A step counts as often as the canonical text spells it out: a neural step with the `reorder` that brings its loops
outermost counts two. No transformation is named here: each lists its own instances. What is left out can't be the
shortest way to any operator:

- **Program steps at the end.** They leave the operator as it is, and so do marks anywhere.
- **Steps that nothing uses.** A step depends on the loops that it names. When the loops that a program step has made
  are named by no later step, the sequence without it reaches the same operator.
- **Orders that nothing uses.** A step that only reorders is followed at once by one that it makes possible or shorter:
  any other could have come before it. A last step is never such a one, for neural steps bring their own order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from hashlib import sha256
from itertools import chain
from math import inf

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.ir.loopnest import LoopNest, Statement
from loopwright.operators import parse
from loopwright.transformations import Step, Transformation, TransformationSequence, registered

Made = frozenset[tuple[int, str]]
"""Loops that a program step has made, each with the number of its statement."""


@dataclass(frozen=True)
class Bounds:
    """Sequences of at most ``steps`` canonical steps, among them at most ``neural`` neural ones and ``program`` others
    than reorders. Factors (of `split`, `group`, `bottleneck`, ...) are those of ``factors``, or the extent of a loop
    that none of these divides; `unroll` peels ``unroll`` iterations, `partition` halves, and options such as ``keep``
    stay at their defaults."""

    steps: int = 5
    neural: int = 2
    program: int = 1
    factors: tuple[int, ...] = (2, 4)
    unroll: int = 16

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("neural", 1), ("program", 0), ("unroll", 1)):
            if getattr(self, name) < least:
                raise ArgumentError(f"{name}={getattr(self, name)} is too few; at least {least} is needed")
        if not self.factors or min(self.factors) < 2:
            raise ArgumentError("factors must be integers of at least 2, such as 2,4")

    def admit(self, step: Transformation, statement: Statement) -> bool:
        """Whether the step's parameters are within the bounds."""
        if any(getattr(step, option) is not None for option in _options(type(step))):
            return False
        extents = [statement.extents[name] for name in _named(step, statement)]
        return all(
            self._admit(parameter, value, extents)
            for parameter, given in vars(step).items()
            for value in _flat(given)
            if isinstance(value, int)
        )

    def _admit(self, parameter: str, value: int, extents: Sequence[int]) -> bool:
        if parameter == "count":
            return value == self.unroll
        if parameter == "points":
            return extents == [2 * value]
        return value in self.factors or ({value} == set(extents) and not self._divide(value))

    def _divide(self, extent: int) -> bool:
        return any(extent % factor == 0 for factor in self.factors)

    def __str__(self) -> str:
        return (
            f"at most {self.steps} steps, of which {self.neural} neural, {self.program} program, the rest reorders; "
            f"factors {', '.join(map(str, self.factors))} "
            f"(a loop that none divides is taken whole), unroll by {self.unroll}, partition into halves"
        )


@dataclass(frozen=True)
class Found:
    """An operator and a sequence that makes it; ``key`` is equal for equal operators."""

    key: str
    macs: int
    parameters: int
    sequence: TransformationSequence

    @classmethod
    def of(cls, form: OperatorForm, sequence: TransformationSequence) -> Found:
        return cls(form.key, form.macs, form.parameters, sequence)

    @property
    def order(self) -> tuple[int, str]:
        """Shortest sequences first, equally short ones by their text."""
        return len(self.sequence), str(self.sequence)


@dataclass(frozen=True)
class Node:
    """A sequence to be continued, and the operator's key. ``unused`` holds, for each program step whose loops no later
    step has named, these loops. ``state`` and ``unordered`` tell equal states, the latter whatever the loops' order;
    ``closing`` says whether last steps are still to be tried, which don't depend on the order."""

    sequence: TransformationSequence
    key: str
    neural: int = 0
    program: int = 0
    unused: tuple[Made, ...] = ()
    state: str = ""
    unordered: str = ""
    closing: bool = True


@dataclass
class Expansion:
    """What continuing nodes gave: the operators found, the nodes to be continued, and the number of sequences."""

    found: dict[str, Found] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    sequences: int = 0

    def keep(self, found: Found) -> None:
        """Keeps the operator, or the shorter way to it."""
        known = self.found.get(found.key)
        if known is None or found.order < known.order:
            self.found[found.key] = found

    def add(self, other: Expansion) -> None:
        """Takes over all that another one holds."""
        for found in other.found.values():
            self.keep(found)
        self.nodes += other.nodes
        self.sequences += other.sequences


def expand(operator: str, bounds: Bounds, nodes: Sequence[Node]) -> Expansion:
    """The continuations of ``nodes``, by one step each, or by two where the second is the last that fits."""
    nest = parse(operator).nest()
    expander = _Expander(nest, bounds)
    for node in nodes:
        expander.extend(node.sequence.apply(nest), node)
    return expander.expansion


@dataclass(frozen=True)
class _Option:
    """A step that a nest offers on one of its statements."""

    nest: LoopNest
    number: int
    step: Transformation

    @property
    def statement(self) -> Statement:
        return self.nest.statements[self.number]

    @cached_property
    def spelled_out(self) -> tuple[Step, ...]:
        """The canonical steps."""
        on = self.statement.name if len(self.nest.statements) > 1 else None
        return tuple(Step(step, on) for step in self.step.spelled_out(self.statement))

    @property
    def cost(self) -> int:
        return len(self.spelled_out)

    @property
    def place(self) -> tuple[int, Transformation]:
        return self.number, self.step

    def apply(self) -> LoopNest:
        """Raises `NotApplicableError` where the step does not fit after all."""
        return TransformationSequence(self.spelled_out).apply(self.nest)


Costs = Mapping[tuple[int, Transformation], int]


class _Expander:
    """Continues sequences within bounds, and collects what comes of it."""

    def __init__(self, nest: LoopNest, bounds: Bounds):
        self.bounds, self.expansion = bounds, Expansion()
        self._steps = [step for step in registered().values() if not step.marks]
        program = self._offered(nest, [step for step in self._steps if not step.neural])
        self._reordering = {type(option.step) for option in program if _reordered(option, option.apply())}

    def extend(self, nest: LoopNest, node: Node, before: Costs | None = None) -> None:
        """Tries every step after ``node``; where ``before`` says what steps cost before the last one, which only
        reordered, those that have become possible or shorter."""
        options = list(self._offered(nest, self._useful(node)))
        costs = {option.place: option.cost for option in options}
        for option in options:
            left = self.bounds.steps - len(node.sequence) - option.cost
            if left >= 0 and (before is None or option.cost < before.get(option.place, inf)):
                self._take(option, node, left, costs)

    def _useful(self, node: Node) -> list[type[Transformation]]:
        """The transformations that may come next: after as many program steps as the bounds allow only those that
        reorder, and where one neural step is all that can follow only neural ones."""
        if node.program < self.bounds.program:
            return self._steps
        reordering = self._reordering if node.neural + 1 < self.bounds.neural else ()
        return [step for step in self._steps if step.neural or step in reordering]

    def _offered(self, nest: LoopNest, steps: Iterable[type[Transformation]]) -> Iterator[_Option]:
        for number, statement in enumerate(nest.statements):
            for step in chain.from_iterable(transformation.instances(statement) for transformation in steps):
                if self.bounds.admit(step, statement):
                    yield _Option(nest, number, step)

    def _take(self, option: _Option, node: Node, left: int, costs: Costs) -> None:
        neural = node.neural + option.step.neural
        program = node.program + (not option.step.neural)
        unused = _still_unused(node.unused, option)
        last = left == 0 or neural == self.bounds.neural
        if last and (unused or not option.step.neural or not node.closing):
            return
        try:
            nest = option.apply()
        except NotApplicableError:
            return
        self.expansion.sequences += 1
        sequence = node.sequence + TransformationSequence(option.spelled_out)
        key = self._recognised(nest, sequence) if option.step.neural else node.key
        if not last:
            made = _renumbered(unused, option, nest) + _made(option, nest)
            self._go_on(nest, Node(sequence, key, neural, program, made), left, option, costs)

    def _recognised(self, nest: LoopNest, sequence: TransformationSequence) -> str:
        """The key of the nest's operator, which is kept."""
        form = operator_form(nest)
        key = form.key
        known = self.expansion.found.get(key)
        if known is None or len(sequence) <= len(known.sequence):
            self.expansion.keep(Found.of(form, sequence))
        return key

    def _go_on(self, nest: LoopNest, node: Node, left: int, option: _Option, costs: Costs) -> None:
        """Looks at the last step at once, and leaves what is before it for later."""
        if _reordered(option, nest):
            self.extend(nest, replace(node, program=node.program - 1, closing=False), costs)
        elif left == 1:
            self.extend(nest, node)
        else:
            self.expansion.nodes.append(_with_state(node, nest))


def _still_unused(unused: tuple[Made, ...], option: _Option) -> tuple[Made, ...]:
    """Those of which the step names no loop; one that names no loops at all uses its whole statement."""
    named = _named(option.step, option.statement) or list(option.statement.extents)
    used = {(option.number, name) for name in named}
    return tuple(made for made in unused if not made & used)


def _renumbered(unused: tuple[Made, ...], option: _Option, nest: LoopNest) -> tuple[Made, ...]:
    """The same loops, in the statements as they are numbered after the step."""
    more = len(nest.statements) - len(option.nest.statements)

    def numbers(number: int) -> Iterable[int]:
        if number == option.number:
            return range(number, number + more + 1)
        return (number if number < option.number else number + more,)

    return tuple(frozenset((new, name) for number, name in made for new in numbers(number)) for made in unused)


def _made(option: _Option, nest: LoopNest) -> tuple[Made, ...]:
    """The loops that a program step has made: new ones, or all of the statements into which it has cut one."""
    if option.step.neural:
        return ()
    old, new = option.statement, _rewritten(option, nest)
    made = frozenset(
        (option.number + k, name)
        for k, statement in enumerate(new)
        for name, position in statement.position.items()
        if len(new) > 1 or position != old.position.get(name)
    )
    return (made,) if made else ()


def _rewritten(option: _Option, nest: LoopNest) -> Sequence[Statement]:
    """The statements that the step has put in the place of one."""
    count = 1 + len(nest.statements) - len(option.nest.statements)
    return nest.statements[option.number : option.number + count]


def _reordered(option: _Option, nest: LoopNest) -> bool:
    """Whether the step has changed nothing but the order of loops."""
    return not option.step.neural and not _made(option, nest) and _order(option.nest) != _order(nest)


def _order(nest: LoopNest) -> list[list[str]]:
    return [list(statement.extents) for statement in nest.statements]


def _with_state(node: Node, nest: LoopNest) -> Node:
    """The node with what tells equal states: the operator, and each statement's instances, piece and loops. A loop is
    its value as a function of the instance, whatever its name."""
    statements = [
        (
            repr(statement.lattice),
            [(str(expression), bound) for expression, bound in statement.piece],
            [(loop.extent, str(statement.position[loop.name])) for loop in statement.loops],
        )
        for statement in nest.statements
    ]
    unordered = [(lattice, piece, sorted(loops)) for lattice, piece, loops in statements]
    return replace(
        node, state=_digest((node.key, sorted(statements))), unordered=_digest((node.key, sorted(unordered)))
    )


def _digest(value: object) -> str:
    return sha256(repr(value).encode()).hexdigest()[:24]


@cache
def _options(transformation: type[Transformation]) -> list[str]:
    """The parameters that may be left out."""
    return [parameter.name for parameter in fields(transformation) if parameter.default is None]


def _flat(value: object) -> Iterable[object]:
    """The words and numbers in a parameter."""
    return chain.from_iterable(map(_flat, value)) if isinstance(value, tuple) else (value,)


def _named(step: Transformation, statement: Statement) -> list[str]:
    """The loops that the step's parameters name."""
    words = chain.from_iterable(map(_flat, vars(step).values()))
    return [word for word in words if isinstance(word, str) and word in statement.extents]
