from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from loopwright.legality.structure import StructureCheck, first_unmatched
from loopwright.models.dataflow import dataflow
from loopwright.models.sources import registered
from loopwright.models.trace import trace
from tests.legality.networks import SmallNet, forms_of


@pytest.fixture(scope="module")
def resnet34():
    with torch.device("meta"):
        module = registered()["resnet34"].factory()
    return trace(module.to_empty(device="cpu"), torch.zeros(1, 3, 32, 32))


@pytest.fixture(scope="module")
def check(resnet34):
    return StructureCheck.of(dataflow(resnet34))


def test_the_original_is_legal(check):
    assert check.judge({}).legal


@pytest.mark.parametrize(
    "sequence",
    [
        "identity",
        "group(co, ci, 2)",
        "bottleneck(ci, 2)",
        "bottleneck(co, 2)",
        "split(oh, 2) -> group(oh_outer, co, 2)",
        "bottleneck(oh, 2) -> bottleneck(ow, 2)",
    ],
)
def test_what_keeps_the_receptive_field_is_legal_everywhere(resnet34, check, sequence):
    verdict = check.judge(forms_of(resnet34, sequence))
    assert (verdict.legal, verdict.reason) == (True, "receptive field kept")


def test_kernels_cut_to_their_centre_everywhere_are_rejected(resnet34, check):
    verdict = check.judge(forms_of(resnet34, "bottleneck(kh, 3) -> bottleneck(kw, 3)"))
    assert not verdict.legal
    assert verdict.check == "structure"
    assert verdict.reason == "input coverage: 903 of the 1024 input pixels that the original reads are not read"
    assert verdict.witness == "input (0, 2)"


def test_one_kernel_cut_to_its_centre_is_legal_in_a_deep_network(resnet34, check):
    forms = forms_of(resnet34, "bottleneck(kh, 3) -> bottleneck(kw, 3)")
    name = next(iter(forms))
    assert check.judge({name: forms[name]}).legal


def test_a_shrunken_field_before_the_pooling_is_rejected():
    network = trace(SmallNet(), torch.zeros(1, 3, 16, 16))
    forms = {"inner": forms_of(network, "bottleneck(kh, 3)")["inner"]}
    verdict = StructureCheck.of(dataflow(network)).judge(forms)
    assert not verdict.legal
    assert "position (1, 0) of " in verdict.reason
    assert "sees 20 of the 24 input pixels that the original's sees" in verdict.reason
    assert verdict.scores["cells_lost"] > 0


def test_a_spatial_output_must_see_as_much_at_every_position():
    network = trace(
        nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)), torch.zeros(1, 2, 8, 8)
    )
    check = StructureCheck.of(dataflow(network))
    assert check.judge(forms_of(network, "group(co, ci, 2)")).legal
    verdict = check.judge(forms_of(network, "bottleneck(kh, 3)"))
    assert "position (0, 0) of " in verdict.reason
    assert "sees 6 of the 9 input pixels that the original's sees" in verdict.reason


def test_large_inputs_are_judged_in_cells():
    network = trace(SmallNet(), torch.zeros(1, 3, 96, 96))
    check = StructureCheck.of(dataflow(network))
    assert check.cells.side == 3
    assert check.judge(forms_of(network, "group(co, ci, 2)")).legal


def sets(*members: int) -> np.ndarray:
    return np.array(members, np.uint64)[:, None]


def test_a_shifted_set_is_found_and_a_missing_one_is_not():
    needed = sets(0b001, 0b010, 0b100, 0b1000)
    assert first_unmatched(needed, sets(0b1111, 0b001, 0b010, 0b100), (1, 4)) is None
    assert first_unmatched(needed, sets(0b000, 0b001, 0b010, 0b100), (1, 4)) == 3
