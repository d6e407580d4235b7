"""The console that tables go to."""

from __future__ import annotations

from rich.console import Console

READABLE_WIDTH = 140


def output_console() -> Console:
    """Standard output at the terminal's width; in a file or a pipe, wide enough for the tables."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=READABLE_WIDTH)
