"""Loop nests: a computation, and the statements that execute its instances in some order.

A `Computation` says what an operator computes; it never changes. A `LoopNest` holds statements that share its instances
out among them and is immutable: a step gives a new nest that remembers its parent. Of each `Statement`,

- ``schedule`` (isl) sends its statement instances to loop points, and its domain is its ``domain``;
- ``index`` gives every iterator as an expression over the loops (from loop point to instance: what code executes);
- ``version`` says which version of the weights a loop point reads (0, unless loops are untied);
- ``position`` gives every loop as an expression over the iterators, total on the statement's ``piece``: instances that
  neural steps removed are sent to the loop point that stands in for them, which is the completion map of the outputs.

The invariant (`loopwright.ir.verify`): the schedule is a bijection between the domain and the full box of the loops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from math import prod

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir import polyhedral
from loopwright.ir.affine import Affine, var
from loopwright.ir.lattice import Lattice, NotALatticeError, count_union, digits, join_all

FLOAT_BYTES = 4
"""All tensors are float32."""

VERSION = "version"
"""The axis of lattices and weights that tells apart the versions of the weights, where loops are untied."""

Index = Mapping[str, Affine]
Condition = tuple[Affine, int]  # 0 <= expression < bound


@dataclass(frozen=True)
class Iterator:
    """One iterator of a computation; ``role`` is ``batch``, ``channel``, ``spatial`` or ``kernel``."""

    name: str
    extent: int
    role: str


@dataclass(frozen=True)
class Access:
    """The element of a tensor that an instance touches: one expression over the iterators for each axis."""

    tensor: str
    shape: tuple[int, ...]
    index: tuple[Affine, ...]


@dataclass(frozen=True)
class Computation:
    """``output[...] += input[...] * weight[...]`` for every instance; reads outside of the input are zero.

    ``text`` is the operator's text form. The first axis of input and output is the batch where an iterator has that
    role; ``channel_axis`` counts the axes of input and output. With ``two_inputs`` the weight is an input as well: it
    has the batch too, and holds no parameters.
    """

    text: str
    iterators: tuple[Iterator, ...]
    input: Access
    weight: Access
    output: Access
    channel_axis: int = 1
    two_inputs: bool = False

    @cached_property
    def extents(self) -> dict[str, int]:
        return {iterator.name: iterator.extent for iterator in self.iterators}

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self.extents)

    @cached_property
    def output_iterators(self) -> frozenset[str]:
        """Iterators that address the output; the others are reduced over."""
        return frozenset().union(*(expression.variables for expression in self.output.index))

    @cached_property
    def weight_iterators(self) -> frozenset[str]:
        """Iterators that address the weight."""
        return frozenset().union(*(expression.variables for expression in self.weight.index))

    @cached_property
    def channel_iterators(self) -> frozenset[str]:
        """Iterators that address the output's channels."""
        return self.output.index[self.channel_axis].variables

    @cached_property
    def wrapped_iterators(self) -> frozenset[str]:
        """Iterators inside a division of some access: along them the accesses do not move by equal steps."""
        accesses = (self.input, self.weight, self.output)
        return frozenset().union(*(e.wrapped_variables for access in accesses for e in access.index))

    def role(self, iterator: str) -> str:
        return next(it.role for it in self.iterators if it.name == iterator)

    def iterators_of(self, output: tuple[Affine, ...]) -> dict[str, Affine]:
        """The output iterators as expressions over an output element's coordinates (the inverse of the write)."""
        inverse = {}
        for coordinate, written in zip(output, self.output.index, strict=True):
            for name in written.variables:
                inverse[name] = (coordinate // written.coefficient(name)) % self.extents[name]
        return inverse


@dataclass(frozen=True)
class Loop:
    """A loop runs from 0 to ``extent - 1``; ``mark`` says how (`loopwright.ir.marks`; without one, in order), and
    ``prefetched`` names the tensors of which every iteration first copies the tile that it reads. Each iteration of an
    ``rfactored`` loop sums into partial results of its own, which are added up when the statement has run."""

    name: str
    extent: int
    mark: str = ""
    prefetched: tuple[str, ...] = ()
    rfactored: bool = False


@dataclass(frozen=True, eq=False)
class Statement:
    """Statement instances and the order in which they run; see the module."""

    name: str
    computation: Computation
    loops: tuple[Loop, ...]
    index: Index
    position: Index
    piece: tuple[Condition, ...]
    scheduled: Callable[[], polyhedral.Relation] = field(repr=False)
    lattice: Lattice = field(repr=False)
    version: Affine

    @cached_property
    def schedule(self) -> polyhedral.Relation:
        """From statement instances to loop points; composed step by step when it is first asked for, because a search
        derives many nests whose index expressions alone it needs."""
        return self.scheduled()

    @cached_property
    def extents(self) -> dict[str, int]:
        return {loop.name: loop.extent for loop in self.loops}

    @cached_property
    def coordinates(self) -> Index:
        """``index``, and the version of the weights beside it: what lattices are over."""
        return {**self.index, VERSION: self.version}

    @property
    def rfactored(self) -> tuple[Loop, ...]:
        """The loops whose iterations have partial results of their own, in order."""
        return tuple(loop for loop in self.loops if loop.rfactored)

    @property
    def holds_whole_batch(self) -> bool:
        """False for a piece that a `partition` of the batch has left."""
        computation = self.computation
        tested = {name for expression, _ in self.piece for name in expression.variables}
        return all(computation.role(name) != "batch" for name in tested)

    @property
    def domain(self) -> polyhedral.Set:
        """The statement's instances over the computation's iterators."""
        return self.schedule.domain()

    @property
    def written(self) -> Lattice:
        """The output elements that the instances write."""
        return self.lattice.image(self.computation.output.index, (*self.computation.names, VERSION))

    @property
    def macs(self) -> int:
        """Multiply-accumulates: the number of instances."""
        return prod(self.extents.values())

    def loop(self, name: str) -> Loop:
        """The loop of that name; raises `NotApplicableError`, naming those that exist."""
        for loop in self.loops:
            if loop.name == name:
                return loop
        raise NotApplicableError(f"{self.name} has no loop {name!r}; its loops are {', '.join(self.extents)}")

    @cached_property
    def moves(self) -> dict[str, tuple[frozenset[str], ...]]:
        """For every loop, the iterators that each of its digits moves (`lattice.digits`); a digit that cuts across
        several iterators counts once for each."""
        try:
            index, extents = digits(self.index, self.extents)
        except NotALatticeError:
            return {name: self._crossing(name) for name in self.extents}
        found: dict[str, list[frozenset[str]]] = {name: [] for name in self.extents}
        for digit, extent in extents.items():
            if extent > 1:
                moved = frozenset(it for it, expression in index.items() if digit in expression.variables)
                found[digit.rstrip("'.")].append(moved)
        return {name: tuple(moved) for name, moved in found.items()}

    def _crossing(self, name: str) -> tuple[frozenset[str], ...]:
        moved = [it for it, expression in self.index.items() if name in expression.variables]
        if all(self.index[it].coefficient(name) for it in moved):
            return (frozenset(moved),) if moved else ()
        return tuple(frozenset({it}) for it in moved)

    def addresses(self, name: str) -> frozenset[str]:
        """The iterators that loop ``name`` moves."""
        return frozenset().union(*self.moves[name])

    def kind(self, name: str) -> str:
        """``parallel`` when every digit of the loop moves the output's element (or the loop has one iteration),
        ``reduction`` when none does, else ``mixed``."""
        outputs = self.computation.output_iterators
        writes = [bool(moved & outputs) for moved in self.moves[name]]
        return "parallel" if all(writes) else "mixed" if any(writes) else "reduction"


@dataclass(frozen=True)
class Case:
    """Outputs at which every ``0 <= expression < bound`` holds take the value written at ``source``; both are
    expressions over the output's coordinates ``o0 o1 ...``."""

    where: tuple[Condition, ...]
    source: tuple[Affine, ...]


@dataclass(frozen=True, eq=False)
class Projection:
    """A learned 1x1 convolution that makes all outputs from some: from the channels ``start + step*k``, ``k < count``.
    ``nest`` computes it; its input has these channels, ``k`` being their number."""

    start: int
    step: int
    count: int
    nest: LoopNest


@dataclass(frozen=True, eq=False)
class LoopNest:
    """Statements that run one after the other. ``parent`` and ``step`` (its text) say how the nest came about. A
    ``projection`` runs last, on the completed output."""

    computation: Computation
    statements: tuple[Statement, ...]
    parent: LoopNest | None = None
    step: str = ""
    projection: Projection | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run, batch and projection included."""
        projected = self.projection.nest.macs if self.projection else 0
        return sum(statement.macs for statement in self.statements) + projected

    @cached_property
    def parameters(self) -> int:
        """The number of weights that some instance reads."""
        projected = self.projection.nest.parameters if self.projection else 0
        own = () if self.computation.two_inputs else self.lattices
        return count_union([self.weights_of(lattice) for lattice in own]) + projected

    @cached_property
    def versions(self) -> int:
        """How many versions of the weights there are; a number that no statement reads counts, too."""
        return max(statement.lattice.ends[-1] for statement in self.statements)

    @cached_property
    def weight(self) -> Access:
        """The weight that an instance reads; where there are several versions, they are its first axis."""
        access = self.computation.weight
        if self.versions == 1:
            return access
        return replace(access, shape=(self.versions, *access.shape), index=(var(VERSION), *access.index))

    @property
    def weight_index(self) -> tuple[Affine, ...]:
        """The element of `weight` that an instance reads, without the batch that a second input has."""
        return self.weight.index[1:] if self.computation.two_inputs else self.weight.index

    def weights_of(self, lattice: Lattice) -> Lattice:
        """The weight elements, by their coordinates, that one of `lattices` reads."""
        return lattice.image(self.weight_index, self.iterators)

    @property
    def iterators(self) -> tuple[str, ...]:
        """What `lattices` are over: the iterators but the batch, and the version of the weights."""
        return (*(it.name for it in self.computation.iterators if it.role != "batch"), VERSION)

    @property
    def steps(self) -> tuple[str, ...]:
        """The canonical steps from the untransformed nest to this one."""
        return () if self.parent is None else (*self.parent.steps, self.step)

    def statement(self, name: str) -> Statement:
        """The statement of that name; raises `NotApplicableError`, naming those that exist."""
        for statement in self.statements:
            if statement.name == name:
                return statement
        known = ", ".join(statement.name for statement in self.statements)
        raise NotApplicableError(f"the nest has no statement {name!r}; its statements are {known}")

    @cached_property
    def lattices(self) -> tuple[Lattice, ...]:
        """What is computed for one image, whatever the order and the names: the statements' domains without the batch,
        joined where one continues another along iterators in which every access is linear."""
        if self._complete:
            extents = {name: self.computation.extents.get(name, 1) for name in self.iterators}
            return (Lattice.of({name: var(name) for name in extents}, extents, self.iterators),)
        axes = (*self.computation.names, VERSION)
        kept = [k for k, name in enumerate(axes) if name in self.iterators]
        batch = [k for k in range(len(axes)) if k not in kept]
        first_image = [s.lattice for s in self.statements if not any(s.lattice.offset[k] for k in batch)]
        unlike = [axis for axis, name in enumerate(self.iterators) if name in self.computation.wrapped_iterators]
        return tuple(join_all([lattice.project(kept) for lattice in first_image], unlike))

    @property
    def _complete(self) -> bool:
        """Whether every instance of the computation is there, and reads the only version of its weight, all of them
        through linear accesses."""
        executed = sum(statement.macs for statement in self.statements)
        linear = not self.computation.wrapped_iterators
        return linear and self.versions == 1 and executed == prod(self.computation.extents.values())

    @cached_property
    def completion(self) -> tuple[Case, ...]:
        """Where outputs take their values from, first case that holds; empty when every output is written.

        An output that some statement writes is itself. Any other takes the value at the point which the first statement
        whose piece holds it has kept in its place.
        """
        if self._writes_all():
            return ()
        cases = [self._case(statement) for statement in self.statements]
        shape = self.computation.output.shape
        identity = tuple(var(f"o{k}") if extent > 1 else Affine() for k, extent in enumerate(shape))
        shared = any(not _only_outputs(statement) for statement in self.statements)
        written = [self._written(case, identity) for case in cases] if shared else []
        return (*written, *cases)

    def _writes_all(self) -> bool:
        written = [statement.written for statement in self.statements]
        return count_union(written) == prod(self.computation.output.shape)

    def _case(self, statement: Statement) -> Case:
        computation = self.computation
        shape = {f"o{k}": extent for k, extent in enumerate(computation.output.shape)}
        instance = computation.iterators_of(tuple(var(name) for name in shape))
        instance |= {name: Affine() for name in computation.names if name not in instance}
        point = {
            name: expression.substitute(instance).simplify(shape) for name, expression in statement.position.items()
        }
        kept = {name: expression.substitute(point).simplify(shape) for name, expression in statement.index.items()}
        source = tuple(expression.substitute(kept).simplify(shape) for expression in computation.output.index)
        conditions = [
            (expression.substitute(instance).simplify(shape), bound)
            for expression, bound in statement.piece
            if expression.variables & computation.output_iterators
        ]
        return Case(tuple(c for c in conditions if not _always(c, shape)), source)

    @staticmethod
    def _written(case: Case, identity: tuple[Affine, ...]) -> Case:
        kept = [(source - own, 1) for source, own in zip(case.source, identity, strict=True) if source != own]
        return Case((*case.where, *kept), identity)


def _always(condition: Condition, extents: Mapping[str, int]) -> bool:
    low, high = condition[0].bounds(extents)
    return low >= 0 and high < condition[1]


def _only_outputs(statement: Statement) -> bool:
    return all(expression.variables <= statement.computation.output_iterators for expression, _ in statement.piece)


def untransformed(computation: Computation) -> LoopNest:
    """The nest that runs the computation's iterators in their order; raises `ArgumentError` for an empty loop."""
    for iterator in computation.iterators:
        if iterator.extent < 1:
            raise ArgumentError(
                f"{computation.text}: {iterator.name} has {iterator.extent} iterations; at least 1 needed"
            )
    loops = tuple(Loop(iterator.name, iterator.extent) for iterator in computation.iterators)
    identity = {loop.name: var(loop.name) for loop in loops}
    lattice = Lattice.of({**identity, VERSION: Affine()}, computation.extents, (*computation.names, VERSION))
    scheduled = cache(partial(_identity, loops))
    statement = Statement("s0", computation, loops, identity, identity, (), scheduled, lattice, Affine())
    return LoopNest(computation, (statement,))


def _identity(loops: tuple[Loop, ...]) -> polyhedral.Relation:
    names = polyhedral.names("i", len(loops))
    bounds = [(name, loop.extent) for name, loop in zip(names, loops, strict=True)]
    return polyhedral.function(bounds, [var(name) for name in names])
