"""OpenVINO on the processor, in float32 and in the precision that it takes by itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from loopwright.baselines.onnx_file import onnx_file
from loopwright.baselines.participant import Participant, Ready
from loopwright.baselines.task import Task
from loopwright.targets.target import FLOAT32

PRECISIONS = {"f32": FLOAT32, "bf16": "bfloat16", "f16": "float16"}


class OpenVino(Participant):
    """The latency hint with OpenVINO's own choice of precision: bfloat16 where the processor multiplies it."""

    name = "openvino"
    packages = ("openvino", "onnx")
    settings: ClassVar[dict[str, Any]] = {}

    def source(self, task: Task) -> Path:
        return onnx_file(task)

    def prepare(self, source: Path, task: Task) -> Ready:
        """Compiles the file; the precision is what the compiled model says."""
        import openvino

        settings = {"INFERENCE_NUM_THREADS": task.threads, "PERFORMANCE_HINT": "LATENCY", **self.settings}
        compiled = openvino.Core().compile_model(str(source), "CPU", settings)
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        request = compiled.create_infer_request()
        run = partial(request.infer, {0: task.images()}, share_inputs=True, share_outputs=True)
        return Ready(run, PRECISIONS.get(precision, precision))


class OpenVinoFloat32(OpenVino):
    """OpenVINO held to float32."""

    name = "openvino-f32"
    settings: ClassVar[dict[str, Any]] = {"INFERENCE_PRECISION_HINT": "f32"}
