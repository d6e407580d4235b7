"""The consoles that tables and progress go to."""

from __future__ import annotations

from rich.console import Console

READABLE_WIDTH = 140


def output_console(*, stderr: bool = False) -> Console:
    """Standard output (or error) at the terminal's width; in a file or a pipe, wide enough for the tables."""
    console = Console(highlight=False, stderr=stderr)
    return console if console.is_terminal else Console(highlight=False, stderr=stderr, width=READABLE_WIDTH)
