"""The folder of a run."""

from __future__ import annotations

from pathlib import Path

from loopwright.errors import ArgumentError, StoreError
from loopwright.report.serialisation import from_json
from loopwright.report.summary import RunSummary
from loopwright.search.run_folder import (
    RunState,
    how_to_resume,
    how_to_resume_training,
    is_in_training,
    require_finished,
)

NETWORK, SUMMARY = "network.json", "summary.json"


def require_free(folder: Path) -> None:
    """Raises ArgumentError if ``folder`` is a file, holds a run, or holds anything else."""
    if folder.is_dir():
        state = RunState.read(folder)
        if state is not None and not state.finished:
            raise ArgumentError(
                f"--out {folder} holds a run that is not finished; go on with {how_to_resume(folder)}, or remove it"
            )
        if is_in_training(folder):
            how = how_to_resume_training(folder)
            raise ArgumentError(f"--out {folder} holds a training that is not finished; go on with {how}, or remove it")
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
    require_finished(folder)
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
