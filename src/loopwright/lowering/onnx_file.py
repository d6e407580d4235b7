"""A network as an ONNX file of standard operators; needs the packages of ``loopwright[onnx]``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from loopwright.errors import ArgumentError, CompileError
from loopwright.lowering.torch_program import batch_axes
from loopwright.models import usercode

OPSET = 18
MOST_BYTES = 2**31 - 2**20
"""A file of protocol buffers holds at most 2 GiB."""
PACKAGES = ("onnx", "onnxscript")


def require_onnx() -> None:
    """Raises `ArgumentError` where the packages that write the file are not installed."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ArgumentError(f"ONNX files need {' and '.join(missing)}; pip install 'loopwright[onnx]'")


def write_onnx(program: ExportedProgram, path: Path, *, dynamic_batch: bool = False) -> None:
    """Writes the program with its weights as one file.

    Raises `ArgumentError` for more weights than a file holds, and `CompileError` where an operation has no ONNX.
    """
    require_onnx()
    tensors = [*program.state_dict.values(), *program.constants.values()]
    if sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor)) > MOST_BYTES:
        raise ArgumentError("an ONNX file holds at most 2 GB of weights; take the format torch")
    axes = batch_axes(len(program.graph_signature.user_inputs)) if dynamic_batch else None
    try:
        with _quiet():
            written = torch.onnx.export(program, dynamo=True, opset_version=OPSET, dynamic_shapes=axes, verbose=False)
    except (*usercode.FAILURES, torch.onnx.errors.OnnxExporterError) as error:
        raise CompileError(f"the network has no ONNX form: {_reason(error)}") from error
    assert written is not None
    for node in written.model.graph.all_nodes():
        node.metadata_props.clear()  # lines of source, with their folders
    written.save(path, external_data=False)
    _require_standard(path)


def load_onnx(path: Path) -> tuple[Callable[..., Any], str]:
    """The network of the file, called with tensors, and the runtime that it runs in: ONNX Runtime, or where that is
    not installed the reference of the ``onnx`` package. Raises `CompileError` for what ONNX Runtime lacks."""
    if find_spec("onnxruntime") is None:
        from onnx.reference import ReferenceEvaluator

        session, runtime = ReferenceEvaluator(str(path)), "onnx.reference"
        names = session.input_names
    else:
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors share no class
            raise CompileError(f"ONNX Runtime can't run the network: {usercode.first_line(error)}") from error
        runtime, names = "onnxruntime", [value.name for value in session.get_inputs()]

    def run(*inputs: torch.Tensor) -> Any:
        return session.run(None, dict(zip(names, (value.numpy() for value in inputs), strict=True)))

    return run, runtime


def _require_standard(path: Path) -> None:
    """Raises `CompileError` for a file that ONNX's own checker refuses, or one with operators of another domain."""
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CompileError(f"the network has no valid ONNX form: {usercode.first_line(error)}") from error
    model = onnx.load(path)
    others = {f"{node.domain}::{node.op_type}" for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    others |= {f"{function.domain}::{function.name}" for function in model.functions}
    if others:
        raise CompileError(
            f"the network has no form in standard ONNX operators: it would need {', '.join(sorted(others))}"
        )


def _reason(error: BaseException) -> str:
    """The first line of what the exporter's last step met."""
    cause = error.__cause__
    return usercode.first_line(error if cause is None else cause)


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, PyTorch's exporter keeps its warnings and its progress to itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
