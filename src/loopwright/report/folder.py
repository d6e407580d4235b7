"""The folder of a run."""

from __future__ import annotations

import os
from pathlib import Path

from loopwright.errors import ArgumentError, StoreError
from loopwright.report.serialisation import from_json
from loopwright.report.summary import RunSummary

NETWORK, SUMMARY = "network.json", "summary.json"


def require_free(folder: Path) -> None:
    """Raises ArgumentError if ``folder`` is a file, holds a run, or holds anything else."""
    if folder.is_dir():
        if (folder / NETWORK).exists():
            raise ArgumentError(f"--out {folder} already holds a run; name another folder or remove it")
        if any(folder.iterdir()):
            raise ArgumentError(f"--out {folder} is not empty; name a new folder")
    elif folder.exists():
        raise ArgumentError(f"--out {folder} is a file; name a folder")


def read_run(folder: Path) -> RunSummary:
    """The summary of a finished run.

    Raises ArgumentError for a folder that holds none or one that is not finished, StoreError for a damaged summary or
    one of another version.
    """
    path = folder / SUMMARY
    if not folder.is_dir():
        raise ArgumentError(f"there is no folder {folder}; name one that optimize was given as --out")
    if not path.is_file():
        if (folder / NETWORK).exists():
            raise ArgumentError(f"the run in {folder} is not finished, it has no {SUMMARY}; optimize again")
        raise ArgumentError(f"{folder} holds no run; name a folder that optimize was given as --out")
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} can't be read ({error})") from error
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from error


def write_atomically(path: Path, text: str) -> None:
    """Writes a file beside ``path`` that takes its place at the end: nobody ever sees half of it.

    Raises ArgumentError where the folder can't be written to.
    """
    written = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            written.write_text(text, encoding="utf-8", newline="")
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        raise ArgumentError(f"{path} can't be written ({error.strerror})") from error
