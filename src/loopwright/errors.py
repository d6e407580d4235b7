"""The refusals that a user meets; each message says what is wrong and what would be right.

Three kinds are kept apart: a wrong argument raises `ArgumentError` (or a subclass), a step that does not fit a nest
raises `NotApplicableError`, and an illegal candidate is no exception at all but a `legality.Verdict`.
"""

from __future__ import annotations


class LoopwrightError(Exception):
    """Base of all errors that are meant to be read by the user as one message."""


class ArgumentError(LoopwrightError):
    """An argument names something unknown or has an impossible value."""


class ParseError(ArgumentError):
    """A text form does not parse; `position` is the offset of the first character that does not fit."""

    def __init__(self, message: str, text: str, position: int):
        self.text, self.position = text, position
        super().__init__(f"{message} at character {position + 1}: {text[:position]}»{text[position:]}")


class NotApplicableError(LoopwrightError):
    """A step does not fit the nest it is applied to; the message names the step and what would fit. The error's note is
    the printed nest."""


class TraceError(LoopwrightError):
    """A module cannot be traced; the message names the operation and the line."""


class CompileError(LoopwrightError):
    """A traced network cannot be compiled; the message names the operation and the layer."""


class DataError(LoopwrightError):
    """A data folder is missing, unreadable, or holds no images."""


class TrainingError(LoopwrightError):
    """A training can't go on; the message says what to change."""


class StoreError(LoopwrightError):
    """A store or run folder is unusable; the message says what to do."""


class StoppedError(LoopwrightError):
    """The user ended a run; the message says how to go on with it."""


class InvalidNestError(AssertionError):
    """A nest breaks the invariant (schedule is a bijection onto the box of loops): a bug in a transformation."""
