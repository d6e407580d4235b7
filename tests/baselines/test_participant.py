"""Which participants there are, and who takes part."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from loopwright.baselines.participant import arrays, chosen, registered
from loopwright.errors import ArgumentError
from loopwright.targets.cpu import cpu
from loopwright.targets.cuda import cuda
from loopwright.targets.target import Target

ALL = {name for name, participant in registered().items() if participant.on_processors}


def names(peers: list[str] | None, trials: int = 0, hardware: Target | None = None) -> list[str]:
    return [participant.name for participant in chosen(peers, trials, hardware or cpu())]


def test_every_file_registers_its_participants() -> None:
    assert {"eager", "compile", "onnxruntime", "openvino", "openvino-f32", "metaschedule", "loopwright"} <= ALL
    assert all(participant.packages for participant in registered().values())


def test_the_reference_comes_first_and_ours_always_takes_part() -> None:
    assert names([]) == ["eager", "loopwright"]
    assert names(["onnxruntime", "eager", "onnxruntime"]) == ["eager", "onnxruntime", "loopwright"]


def test_a_gpu_has_participants_of_its_own() -> None:
    assert set(names(None, hardware=cuda())) == {"eager", "eager-tf32", "eager-bf16", "compile", "loopwright"}
    with pytest.raises(ArgumentError, match="unknown peer 'openvino'"):
        names(["openvino"], hardware=cuda())


def test_the_autotuner_takes_part_when_it_has_trials() -> None:
    assert set(names(None)) == ALL - {"metaschedule"}
    assert set(names(None, trials=8)) == ALL
    with pytest.raises(ArgumentError, match="say how many trials it has"):
        names(["metaschedule"])


def test_outputs_of_any_runtime_become_arrays() -> None:
    found = arrays({"a": torch.ones(2), "b": [np.zeros(1), (torch.zeros(3, dtype=torch.bfloat16),)]})
    assert [array.tolist() for array in found] == [[1, 1], [0], [0, 0, 0]]
