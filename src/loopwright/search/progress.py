"""What a long run tells whoever watches it; the command line draws it, and Python callers may pass their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from loopwright.models.network import Network

STAGES = ("Trace", "Transform", "Judge", "Time", "Deliver")
"""The stages of `optimize`, in order."""

FUNNEL = ("drawn", "valid", "legal by structure", "legal by capacity", "timed", "chosen")
"""The counts of candidates that are left after each check, in order."""


class Progress(Protocol):
    """Receives a run's events, from one thread."""

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


class SilentProgress:
    """Tells nobody."""

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
