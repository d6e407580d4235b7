"""The batched product of two activations against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from loopwright.errors import ArgumentError, NotApplicableError
from loopwright.ir.contraction import operator_form
from loopwright.ir.interpreter import run
from loopwright.ir.printer import print_nest
from loopwright.lowering.torch_module import OperatorModule
from loopwright.operators import parse
from loopwright.transformations import TransformationSequence
from tests.operators.reference import assert_nest_is
from tests.sampling import integers

PRODUCT = parse("matmul(n=2, h=4, m=3, p=6, k=4)")


def test_the_nest_is_pytorchs_operator() -> None:
    assert_nest_is(PRODUCT, lambda _, x, operand: torch.matmul(x, operand))


def test_the_operand_is_no_parameter() -> None:
    nest = PRODUCT.nest()
    assert nest.parameters == operator_form(nest).parameters == 0
    assert (
        print_nest(nest).splitlines()[-1].endswith("s0: output[n, h, m, p] += input[n, h, m, k] * operand[n, h, k, p]")
    )


def test_a_bottleneck_of_the_heads_shares_them() -> None:
    nest = TransformationSequence.parse("bottleneck(h, 2)").apply(PRODUCT.nest())
    x, operand = integers(nest, 0)
    assert np.array_equal(run(nest, x, operand), (x @ operand)[:, [0, 1, 0, 1]])
    assert nest.macs == PRODUCT.nest().macs // 2


def test_the_module_takes_two_inputs_and_holds_no_weights() -> None:
    module = OperatorModule(operator_form(PRODUCT.nest()), (4, 4, 6))
    x, operand = torch.randn(5, 4, 3, 4), torch.randn(5, 4, 4, 6)
    assert torch.allclose(module(x, operand), x @ operand, atol=1e-5)
    assert list(module.parameters()) == []
    with pytest.raises(ArgumentError, match="this operator takes 2 inputs"):
        module(x)


def test_the_operand_is_what_is_prefetched() -> None:
    nest = TransformationSequence.parse("prefetch(operand, m)").apply(PRODUCT.nest())
    assert "for m in 3:  # prefetches operand" in print_nest(nest)
    with pytest.raises(NotApplicableError, match="s0 reads no weight; it reads input and operand"):
        TransformationSequence.parse("prefetch(weight, m)").apply(PRODUCT.nest())


def test_there_are_no_weights_to_untie() -> None:
    with pytest.raises(NotApplicableError, match="both factors are inputs, so there are no weights to untie"):
        TransformationSequence.parse("untie(m)").apply(PRODUCT.nest())
