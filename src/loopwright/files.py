"""Files that are whole at every moment."""

from __future__ import annotations

import os
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
