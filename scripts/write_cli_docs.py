"""Writes docs/cli.md from the help of every command; a test holds that the page is up to date."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from loopwright.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
RUN = "import sys; from loopwright.cli.main import run; sys.exit(run(sys.argv[1:]))"
END = """
Exit codes: 0 when the command has done its work, 2 when something in its input has to be mended (one line on standard
error says what is wrong and what would be right), 130 when it was interrupted. What an interrupted
command has timed and judged stays in the store, and [`optimize --resume` goes on](resuming.md) with its run,
[`train --resume`](training.md) with a training.
"""


def page() -> str:
    """The whole page."""
    sections = [f"## `{f'loopwright {command}'.strip()}`\n\n```\n{help_of(command)}```\n" for command in commands(app)]
    return "\n".join(["# The command line\n", *sections]) + END


def commands(group: typer.Typer, name: str = "") -> Iterator[str]:
    """The words of the group's name, then those of every command and group in it."""
    yield name
    for command in group.registered_commands:
        yield f"{name} {command.name}".strip()
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            yield from commands(inner.typer_instance, f"{name} {inner.name}".strip())


def help_of(command: str) -> str:
    """What ``loopwright COMMAND --help`` prints on a terminal of 80 columns."""
    arguments = [sys.executable, "-c", RUN, *command.split(), "--help"]
    done = subprocess.run(arguments, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
