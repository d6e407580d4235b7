"""The state of a training in a file, which is whole or known not to be: a digest stands before the content."""

from __future__ import annotations

import io
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from loopwright.errors import ArgumentError
from loopwright.files import write_atomically

DIGEST_BYTES = 32


def write_checkpoint(path: Path, training: str, state: Mapping[str, Any]) -> None:
    """Writes the ``state`` of ``training`` (its identity); the file before is there until this one is whole."""
    content = io.BytesIO()
    torch.save({"training": training, **state}, content)
    data = content.getvalue()
    write_atomically(path, sha256(data).digest() + data)


def read_checkpoint(path: Path, training: str) -> dict[str, Any] | None:
    """The state that was written there last, with all tensors on the CPU; None where there is no file.

    Raises `ArgumentError` for a damaged file, or one of another training.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if sha256(data[DIGEST_BYTES:]).digest() != data[:DIGEST_BYTES]:
        raise ArgumentError(f"the checkpoint {path} is damaged; remove it, and the training begins anew")
    state: dict[str, Any] = torch.load(io.BytesIO(data[DIGEST_BYTES:]), "cpu", weights_only=True)
    if state.pop("training") != training:
        raise ArgumentError(f"the checkpoint {path} is of another training; remove it, and this one begins anew")
    return state
