"""The folder of a run."""

from __future__ import annotations

from pathlib import Path

from loopwright.errors import ArgumentError


def require_free(folder: Path) -> None:
    """Raises ArgumentError if ``folder`` is a file, holds a run, or holds anything else."""
    if folder.is_dir():
        if (folder / "network.json").exists():
            raise ArgumentError(f"--out {folder} already holds a run; name another folder or remove it")
        if any(folder.iterdir()):
            raise ArgumentError(f"--out {folder} is not empty; name a new folder")
    elif folder.exists():
        raise ArgumentError(f"--out {folder} is a file; name a folder")
