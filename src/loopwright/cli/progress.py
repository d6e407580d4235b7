"""How a run is watched: a live display on a terminal, a few plain lines anywhere else, or events as lines of JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from loopwright.cli.layers import layer_table, totals
from loopwright.cli.options import ProgressStyle
from loopwright.legality.verdict import Verdict
from loopwright.report import formats
from loopwright.search import events
from loopwright.search.funnel import kind_of_reason
from loopwright.search.progress import FUNNEL, STAGES, CallbackProgress, SilentProgress

if TYPE_CHECKING:
    from loopwright.models.network import Network

REASONS_SHOWN = 4
WIDE = 100
PLAIN_EVERY_S = 5.0


def progress_on(
    console: Console, style: ProgressStyle = ProgressStyle.AUTO
) -> LiveProgress | PlainProgress | JsonProgress | NoProgress:
    """The display of that style; ``auto`` is the one that suits the console."""
    if style is ProgressStyle.AUTO:
        style = ProgressStyle.LIVE if console.is_terminal else ProgressStyle.PLAIN
    if style is ProgressStyle.JSON:
        return JsonProgress(console)
    if style is ProgressStyle.NONE:
        return NoProgress()
    return LiveProgress(console) if style is ProgressStyle.LIVE else PlainProgress(console)


class LiveProgress:
    """A bar for each stage with the time it took, and is expected to take; under them the funnel, the most frequent
    reasons of rejections and the best candidate so far. Notes scroll past above. A context manager."""

    def __init__(self, console: Console):
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=40 if console.width >= WIDE else 20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _LeftColumn(),
            console=console,
        )
        self._tasks = {name: self._bars.add_task(name, start=False, visible=False, total=None) for name in STAGES}
        self._counts: dict[str, int] = {}
        self._reasons: Counter[str] = Counter()
        self._best = _Best()
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

    def happened(self, event: events.Event) -> None:
        """Counts the reason of a rejection; keeps the best; prints an epoch."""
        if isinstance(event, events.CandidateJudged) and not event.legal:
            self._reasons[kind_of_reason(Verdict(False, event.check, event.reason))] += 1
        if isinstance(event, events.EpochTrained):
            self.note(epoch_line(event))
        self._best.happened(event)

    def _finish_present(self) -> None:
        if self._present is None:
            return
        task = next(task for task in self._bars.tasks if task.id == self._present)
        if task.total is None:
            done = max(task.completed, 1)
            self._bars.update(self._present, total=done, completed=done)
        self._bars.stop_task(self._present)

    def _picture(self) -> Group:
        parts: list[RenderableType] = [self._bars]
        if self._counts.get("drawn"):
            parts += [Text(), self._funnel()]
        if self._best.line:
            parts += [Text(), Text(self._best.line, style="bold green", overflow="ellipsis", no_wrap=True)]
        return Group(*parts)

    def _funnel(self) -> Table:
        """A row for each check with its share of what was drawn, and beside them the reasons."""
        table = Table.grid(padding=(0, 2))
        reasons = self._reasons.most_common(REASONS_SHOWN)
        for style, justify in (("", "left"), ("", "left"), ("bold", "right"), ("dim", "left")):
            table.add_column(style=style, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        drawn = self._counts["drawn"]
        reached = [name for name in FUNNEL if self._counts.get(name) or name == "drawn"]
        said = [f"{count:>6,} {reason}" for reason, count in reasons]
        if said:
            said.insert(0, "rejected, most frequent reasons first")
        for row in range(max(len(reached), len(said))):
            reason = said[row] if row < len(said) else ""
            if row < len(reached):
                count = self._counts[reached[row]]
                bar = ProgressBar(total=drawn, completed=count, width=20, complete_style="cyan")
                table.add_row(f"  {reached[row]}", bar, f"{count:,}", reason)
            else:
                table.add_row("", "", "", reason)
        return table


class _LeftColumn(ProgressColumn):
    """The time that the present stage is expected to take still."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Nothing for a stage that has ended, or of which nobody knows."""
        seconds = task.time_remaining
        if task.finished or task.stop_time is not None or seconds is None:
            return Text()
        return Text(f"about {clock(seconds)} left", style="cyan")


class _Best:
    """The fastest candidate so far, in one line."""

    def __init__(self) -> None:
        self.line = ""
        self._original_ms: float | None = None

    def happened(self, event: events.Event) -> None:
        """Takes what is faster; networks that were measured as a whole take the place of sums over layers."""
        if isinstance(event, events.NewBest):
            self._tell("best so far, over all layers", event.original_ms, event.latency_ms)
        elif isinstance(event, events.NetworkTimed):
            if self._original_ms is None:
                self._original_ms, self.line = event.latency_ms, ""  # the first is the original
                self._fastest_ms = event.latency_ms
            if event.latency_ms <= self._fastest_ms:
                self._fastest_ms = event.latency_ms
                self._tell("fastest network", self._original_ms, self._fastest_ms)

    def _tell(self, what: str, before_ms: float, after_ms: float) -> None:
        before, after = map(formats.milliseconds, (before_ms, after_ms))
        self.line = f"  {what}: {before} ms → {after} ms ({formats.ratio(before_ms, after_ms)})"


class PlainProgress:
    """A line for each note, for the beginning and the end of each long stage, and in between now and then: at each
    tenth, but not within `PLAIN_EVERY_S` of the last. A context manager."""

    def __init__(self, console: Console):
        self._console = console
        self._stage, self._total, self._done = "", 0, 0
        self._counts: dict[str, int] = {}
        self._best = _Best()
        self._started = self._said = monotonic()

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
        """Prints a line when another tenth of the stage is done, if there was none for a while."""
        before, self._done = self._done, self._done + n
        tenth = self._total and 10 * self._done // self._total > 10 * before // self._total
        if tenth and (self._done >= self._total or monotonic() - self._said >= PLAIN_EVERY_S):
            parts = [f"{self._stage} {self._done}/{self._total}", funnel_line(self._counts), self._best.line.strip()]
            self._say("  ".join(filter(None, parts)))

    def funnel(self, counts: Mapping[str, int]) -> None:
        """Keeps the counts for the next line."""
        self._counts.update(counts)

    def traced(self, network: Network) -> None:
        """Prints one line about the network."""
        self._say(totals(network))

    def note(self, text: str) -> None:
        """Prints the line."""
        self._say(text)

    def happened(self, event: events.Event) -> None:
        """Keeps the best for the next line; prints an epoch."""
        if isinstance(event, events.EpochTrained):
            self._say(epoch_line(event))
        self._best.happened(event)

    def _say(self, text: str) -> None:
        self._said = monotonic()
        line = f"[{self._said - self._started:6.1f} s] {text}"
        self._console.print(Text(line), soft_wrap=True, highlight=False)


class JsonProgress(CallbackProgress):
    """Every event as one line of JSON with the UTC ``time``. A context manager."""

    def __init__(self, console: Console):
        super().__init__(self._write)
        self._file = console.file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def _write(self, event: events.Event) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._file.write(json.dumps({"time": time, **events.as_json(event)}, allow_nan=False) + "\n")
        self._file.flush()


class NoProgress(SilentProgress):
    """Shows nothing. A context manager."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(75.2), clock(3671)
    ('1:15', '1:01:11')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def epoch_line(event: events.EpochTrained) -> str:
    """What an epoch came to.

    >>> epoch_line(events.EpochTrained(3, 30, 0.1, 1.2345, 61.7, 75.2))
    'epoch 3/30: loss 1.234, 61.7 % of the training images right, about 1:15 left'
    """
    left = f", about {clock(event.seconds_left)} left" if event.epoch < event.epochs else ""
    images = f"{event.accuracy:.1f} % of the training images right"
    return f"epoch {event.epoch}/{event.epochs}: loss {event.loss:.3f}, {images}{left}"


def funnel_line(counts: Mapping[str, int]) -> str:
    """The counts in the order of the checks, up to the last that any candidate has come to.

    >>> funnel_line({"valid": 98, "drawn": 100, "timed": 0})
    'drawn 100 > valid 98'
    """
    known = [name for name in FUNNEL if name in counts]
    while known and not counts[known[-1]]:
        known.pop()
    return " > ".join(f"{name} {counts[name]}" for name in known)
