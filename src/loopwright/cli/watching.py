"""What runs that can go on look like at the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loopwright.cli.options import ProgressStyle
from loopwright.errors import StoppedError

if TYPE_CHECKING:
    from loopwright.search.progress import Progress


@contextmanager
def watched(how_to_go_on: Callable[[], str | None], style: ProgressStyle, log: Path | None) -> Iterator[Progress]:
    """The display; an interrupt says how to go on, if there is something to go on with."""
    from loopwright.cli.console import output_console
    from loopwright.cli.progress import progress_on
    from loopwright.search.logs import logging_to

    try:
        with logging_to(log), progress_on(output_console(stderr=True), style) as progress:
            yield progress
    except KeyboardInterrupt:
        how = how_to_go_on()
        if how is None:
            raise
        raise StoppedError(f"interrupted; go on with {how}") from None
