"""How a run is watched: a live display on a terminal, and a few plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from loopwright.cli.layers import layer_table, totals
from loopwright.search.progress import FUNNEL, STAGES

if TYPE_CHECKING:
    from loopwright.models.network import Network


def progress_on(console: Console) -> LiveProgress | PlainProgress:
    """The display that suits the console."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


class LiveProgress:
    """Stages with a bar for each, and under them the funnel; notes scroll past above. A context manager."""

    def __init__(self, console: Console):
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks = {name: self._bars.add_task(name, start=False, visible=False, total=None) for name in STAGES}
        self._counts: dict[str, int] = {}
        self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=8)
        self._present: TaskID | None = None

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish_present()
        self._live.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """Closes the bar of the stage before and starts a new one."""
        self._finish_present()
        self._present = self._tasks[name] if name in self._tasks else self._bars.add_task(name, start=False, total=None)
        self._bars.update(self._present, total=total, visible=True)
        self._bars.start_task(self._present)

    def advance(self, n: int = 1) -> None:
        """Moves the present bar."""
        if self._present is not None:
            self._bars.advance(self._present, n)

    def funnel(self, counts: Mapping[str, int]) -> None:
        """Redraws the funnel."""
        self._counts.update(counts)

    def traced(self, network: Network) -> None:
        """Prints the table of layers above the display."""
        self._live.console.print(layer_table(network, working_only=True), totals(network))

    def note(self, text: str) -> None:
        """Prints a line above the display."""
        self._live.console.print(Text(text), highlight=False)

    def _finish_present(self) -> None:
        if self._present is None:
            return
        task = next(task for task in self._bars.tasks if task.id == self._present)
        if task.total is None:
            done = max(task.completed, 1)
            self._bars.update(self._present, total=done, completed=done)
        self._bars.stop_task(self._present)

    def _picture(self) -> Group:
        return Group(self._bars, Text(funnel_line(self._counts), style="bold"))


class PlainProgress:
    """A line when a long stage begins, one for each tenth of it, and one for each note. A context manager."""

    def __init__(self, console: Console):
        self._console = console
        self._stage, self._total, self._done = "", 0, 0
        self._counts: dict[str, int] = {}
        self._started = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._counts:
            self._say(funnel_line(self._counts))

    def stage(self, name: str, total: int | None = None) -> None:
        """Prints the stage and how much there is to do, where that is known."""
        self._stage, self._total, self._done = name, total or 0, 0
        if total is not None:
            self._say(f"{name}: {total}")

    def advance(self, n: int = 1) -> None:
        """Prints a line whenever another tenth of the stage is done."""
        before, self._done = self._done, self._done + n
        if self._total and 10 * self._done // self._total > 10 * before // self._total:
            self._say("  ".join(filter(None, [f"{self._stage} {self._done}/{self._total}", funnel_line(self._counts)])))

    def funnel(self, counts: Mapping[str, int]) -> None:
        """Keeps the counts for the next line."""
        self._counts.update(counts)

    def traced(self, network: Network) -> None:
        """Prints the table of layers."""
        self._console.print(layer_table(network, working_only=True))
        self._say(totals(network))

    def note(self, text: str) -> None:
        """Prints the line."""
        self._say(text)

    def _say(self, text: str) -> None:
        line = f"[{monotonic() - self._started:6.1f} s] {text}"
        self._console.print(Text(line), soft_wrap=True, highlight=False)


def funnel_line(counts: Mapping[str, int]) -> str:
    """The counts in the order of the checks.

    >>> funnel_line({"valid": 98, "drawn": 100})
    'drawn 100 > valid 98'
    """
    return " > ".join(f"{name} {counts[name]}" for name in FUNNEL if name in counts)
