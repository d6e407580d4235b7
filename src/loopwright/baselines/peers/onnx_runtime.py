"""ONNX Runtime on the processor."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from loopwright.baselines.onnx_file import onnx_file
from loopwright.baselines.participant import Participant, Ready
from loopwright.baselines.task import Task


class OnnxRuntime(Participant):
    """The CPU execution provider with all its graph optimizations, which are its default."""

    name = "onnxruntime"
    packages = ("onnxruntime", "onnx")

    def source(self, task: Task) -> Path:
        return onnx_file(task)

    def prepare(self, source: Path, task: Task) -> Ready:
        """Loads and optimizes the file."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = task.threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        return Ready(partial(session.run, None, {session.get_inputs()[0].name: task.images()}))
