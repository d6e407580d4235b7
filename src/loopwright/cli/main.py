"""Runs the command line, and answers every refusal in one line on stderr."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

import typer

from loopwright.cli.app import app
from loopwright.errors import LoopwrightError, StoppedError
from loopwright.passwords import hide_passwords

REFUSED, INTERRUPTED = 2, 130


def main() -> None:
    """The entry point ``loopwright``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """The exit code of ``loopwright ARGUMENTS``: 2 for whatever the user can mend, 130 when they interrupt."""
    command = shlex.join(["loopwright", *map(hide_passwords, arguments)])
    try:
        code = app(args=list(arguments), prog_name="loopwright", standalone_mode=False, obj=command)
    except StoppedError as error:
        sys.stderr.write(f"{error}\n")
        return INTERRUPTED
    except LoopwrightError as error:
        return _refuse(str(error))
    except typer.TyperException as error:
        return _refuse(f"{error.format_message()} (see loopwright --help)")
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        sys.stderr.write("interrupted; timings and verdicts so far are kept in the store\n")
    return code or 0


def _refuse(message: str) -> int:
    """Writes the first line: where a message goes on, it shows the nest that the command has printed already."""
    sys.stderr.write(f"error: {hide_passwords(message).strip().splitlines()[0].rstrip(' :')}\n")
    return REFUSED
