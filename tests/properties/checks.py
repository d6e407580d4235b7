"""What must hold of every derivation, each as a named check; a breach is an `AssertionError` that names it."""

from __future__ import annotations

from collections import Counter
from math import prod

import numpy as np

from loopwright.ir.contraction import operator_form
from loopwright.ir.dependences import reversed_dependence
from loopwright.ir.interpreter import run
from loopwright.ir.loopnest import LoopNest
from loopwright.ir.printer import print_nest
from loopwright.ir.verify import verify
from loopwright.legality import dependences
from loopwright.transformations import TransformationSequence
from tests.lowering.ways import TOLERANCE, WAYS, Tensors, relative_error
from tests.strategies import Derivation


def check(derivation: Derivation) -> Counter[str]:
    """Every check on one derivation; counts what was done, for a summary."""
    nest, operator = derivation.nest, derivation.operator
    steps = TransformationSequence.parse(" -> ".join(nest.steps) or "identity")
    done = Counter([f"operator {operator.name}", f"steps {len(steps)}"])
    done.update(f"step {step.transformation.name}" for step in steps)
    texts_round_trip(derivation, steps)
    nests_are_left_alone(derivation)
    for earlier, _ in derivation.trail:
        verify(earlier)
    counts_are_exact(nest)
    legal = dependences.judge(nest).legal
    done["legal" if legal else "illegal"] += 1
    if any(step.transformation.neural for step in steps):
        done["neural"] += 1
        shapes_are_kept(nest)
    elif reversed_dependence(nest) is None:
        done["value-keeping"] += 1
        values_are_kept(nest, operator.nest())
    if legal:
        lowerings_agree(nest)
    return done


def texts_round_trip(derivation: Derivation, steps: TransformationSequence) -> None:
    """Text parses to what printed it, and replaying it gives the same nest."""
    assert TransformationSequence.parse(str(steps)) == steps, "text round trip"
    assert print_nest(steps.apply(derivation.operator.nest())) == print_nest(derivation.nest), "text replay"


def nests_are_left_alone(derivation: Derivation) -> None:
    """No step changed the nest that it was applied to."""
    for nest, printed in derivation.trail:
        assert print_nest(nest) == printed, "input unchanged"


def counts_are_exact(nest: LoopNest) -> None:
    """The form that is lowered has the nest's counts for one image."""
    batch = prod(it.extent for it in nest.computation.iterators if it.role == "batch")
    form = operator_form(nest)
    assert form.macs * batch == nest.macs, "exact MACs"
    assert form.parameters == nest.parameters, "exact parameters"


def values_are_kept(nest: LoopNest, original: LoopNest) -> None:
    """A nest without neural steps gives exactly the untransformed nest's integers, and has its key."""
    tensors = Tensors.integers(nest)
    expected = run(original, tensors.x, tensors.weight)
    assert np.array_equal(run(nest, tensors.x, tensors.weight), expected), "values kept"
    assert operator_form(nest).key == operator_form(original).key, "operator kept"


def shapes_are_kept(nest: LoopNest) -> None:
    """A neural sequence keeps the output's shape, and every output gets a value."""
    tensors = Tensors.integers(nest)
    output = run(nest, tensors.x, *tensors.weights)
    assert output.shape == nest.computation.output.shape, "output shape kept"
    assert np.abs(output).max() < np.iinfo(output.dtype).max // 4, "every output written"


def lowerings_agree(nest: LoopNest) -> None:
    """Interpreter, PyTorch module and both kinds of TVM kernel agree."""
    tensors = Tensors.floats(nest)
    expected = run(nest, tensors.x, *tensors.weights)
    for name, way in WAYS.items():
        error = relative_error(way(nest, tensors), expected)
        assert error < TOLERANCE, f"{name} differs from the interpreter by {error:.1e}"
