"""Files that are whole at every moment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loopwright.errors import ArgumentError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file beside ``path`` that takes its place at the end: nobody ever sees half of it.

    Raises ArgumentError where the folder can't be written to.
    """
    written = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            written.write_bytes(content.encode() if isinstance(content, str) else content)
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        raise ArgumentError(f"{path} can't be written ({error.strerror})") from error


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A path beside ``out`` to write to, which replaces ``out`` at the end; after any exception nothing is left of it.

    Raises `ArgumentError` where nothing can be written there.
    """
    if out.is_dir():
        raise ArgumentError(f"{out} is a folder; name a file")
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent)
    except OSError as error:
        raise ArgumentError(f"{out} can't be written ({error.strerror}); name a file in a folder of yours") from error
    with folder as name:
        staged = Path(name) / out.name
        yield staged
        staged.replace(out)
