"""Footprints against what the PyTorch module really reads: where the gradient is not zero, with positive weights."""

from __future__ import annotations

import pytest
import torch

from loopwright.ir.contraction import OperatorForm
from loopwright.legality.footprint import footprint
from loopwright.lowering.torch_module import OperatorModule
from loopwright.operators import parse
from tests.legality.networks import form_of

PLAIN = "conv2d(co=4, ci=4, oh=8, ow=6, kh=3, kw=3)"
STRIDED = "conv2d(co=4, ci=2, oh=4, ow=4, kh=3, kw=3, stride=2)"
DILATED = "conv2d(co=2, ci=4, oh=6, ow=6, kh=3, kw=1, dilation=2, groups=2)"

CASES = [
    *((operator, "identity") for operator in (PLAIN, STRIDED, DILATED)),
    *((operator, "bottleneck(oh, 2) -> bottleneck(ow, 2)") for operator in (PLAIN, STRIDED, DILATED)),
    (PLAIN, "group(co, ci, 2)"),
    (PLAIN, "bottleneck(co, 2)"),
    (PLAIN, "bottleneck(kh, 3)"),
    (PLAIN, "group(kh, kw, 3)"),
    (PLAIN, "split(oh, 2) -> group(oh_outer, co, 2)"),
    (PLAIN, "split(ow, 3) -> bottleneck(ow_outer, 2)"),
    (PLAIN, "unroll(co, 1) -> on s1: bottleneck(kh, 3)"),
    (STRIDED, "split(oh, 2) -> bottleneck(oh_outer, 2)"),
]


@pytest.mark.parametrize(("operator", "sequence"), CASES)
def test_a_footprint_is_what_the_module_reads(operator, sequence):
    form = form_of(operator, sequence)
    found = set(zip(*(part.tolist() for part in footprint(form).pairs()), strict=True))
    assert found == read_by_module(form, parse(operator))


def read_by_module(form: OperatorForm, operator) -> set[tuple[int, int]]:
    """Pairs (output position, input position), over all channels."""
    module = OperatorModule(form, (operator.co, operator.ci // operator.groups, operator.kh, operator.kw))
    for parameter in module.parameters():
        torch.nn.init.ones_(parameter)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: module(x).sum(1).flatten(), torch.ones(1, *form.input_shape)
    )
    positions = jacobian.sum(2).flatten(1)
    return {(int(o), int(i)) for o, i in positions.reshape(len(positions), -1).nonzero().tolist()}
