"""What a long run tells whoever watches it; the command line draws it, and Python callers may pass their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from loopwright.search.events import Advanced, Callback, Event, NetworkTraced, Noted, StageBegan

if TYPE_CHECKING:
    from loopwright.models.network import Network

STAGES = ("Trace", "Transform", "Time", "Judge", "Deliver")
"""The stages of `optimize`, in order."""

FUNNEL = ("drawn", "valid", "legal by structure", "legal by capacity", "timed", "chosen")
"""The counts of candidates that are left after each check, in order."""


class Progress(Protocol):
    """Receives what a run does, from one thread."""

    def stage(self, name: str, total: int | None = None) -> None:
        """The stage ``name`` begins; it has ``total`` units of work, or an unknown number."""

    def traced(self, network: Network) -> None:
        """The network's layers are known."""

    def advance(self, n: int = 1) -> None:
        """``n`` units of the present stage are done."""

    def funnel(self, counts: Mapping[str, int]) -> None:
        """The numbers of candidates so far, by the names of `FUNNEL`; names not yet reached may be missing."""

    def note(self, text: str) -> None:
        """One line that the user should read."""

    def happened(self, event: Event) -> None:
        """Something for which there is no method of its own: a candidate was judged, an operator timed, ..."""


class SilentProgress:
    """Tells nobody; a display of one's own may override what it needs."""

    def traced(self, network: Network) -> None:
        """Nothing happens."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Nothing happens."""

    def advance(self, n: int = 1) -> None:
        """Nothing happens."""

    def funnel(self, counts: Mapping[str, int]) -> None:
        """Nothing happens."""

    def note(self, text: str) -> None:
        """Nothing happens."""

    def happened(self, event: Event) -> None:
        """Nothing happens."""


class SeveralProgress:
    """Tells all of its ``watchers``, in order."""

    def __init__(self, *watchers: Progress):
        self._watchers = watchers

    def traced(self, network: Network) -> None:
        """To all."""
        for watcher in self._watchers:
            watcher.traced(network)

    def stage(self, name: str, total: int | None = None) -> None:
        """To all."""
        for watcher in self._watchers:
            watcher.stage(name, total)

    def advance(self, n: int = 1) -> None:
        """To all."""
        for watcher in self._watchers:
            watcher.advance(n)

    def funnel(self, counts: Mapping[str, int]) -> None:
        """To all."""
        for watcher in self._watchers:
            watcher.funnel(counts)

    def note(self, text: str) -> None:
        """To all."""
        for watcher in self._watchers:
            watcher.note(text)

    def happened(self, event: Event) -> None:
        """To all."""
        for watcher in self._watchers:
            watcher.happened(event)


class CallbackProgress:
    """Tells a callback everything, as events."""

    def __init__(self, callback: Callback):
        self._callback = callback
        self._stage, self._done = "", 0
        self._total: int | None = None
        self._counts: dict[str, int] = {}

    def traced(self, network: Network) -> None:
        """Tells the network's size."""
        sizes = (len(network.layers), len(network.transformable), len(network.workloads))
        self.happened(NetworkTraced(network.name, *sizes, network.macs, network.parameters))

    def stage(self, name: str, total: int | None = None) -> None:
        """Tells it."""
        self._stage, self._total, self._done = name, total, 0
        self.happened(StageBegan(name, total))

    def advance(self, n: int = 1) -> None:
        """Tells how far the stage is."""
        self._done += n
        self.happened(Advanced(self._stage, self._done, self._total, dict(self._counts)))

    def funnel(self, counts: Mapping[str, int]) -> None:
        """Keeps the counts for when the stage advances."""
        self._counts.update(counts)

    def note(self, text: str) -> None:
        """Tells it."""
        self.happened(Noted(text))

    def happened(self, event: Event) -> None:
        """Tells it."""
        self._callback(event)
