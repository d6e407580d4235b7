"""The network as an ONNX file, for the runtimes that read one."""

from __future__ import annotations

import warnings
from pathlib import Path

from loopwright.baselines.task import Task

OPSET = 18


def onnx_file(task: Task) -> Path:
    """The network's file in the task's folder; whoever asks first writes it."""
    path = task.folder / "network.onnx"
    if not path.exists():
        _export(task, path)
    return path


def _export(task: Task, path: Path) -> None:
    import torch

    written = path.with_suffix(".part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = torch.from_numpy(task.images())
        torch.onnx.export(task.module(), (images,), str(written), dynamo=False, opset_version=OPSET)
    written.rename(path)
