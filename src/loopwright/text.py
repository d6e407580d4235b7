"""Calls as one line of text, ``name(value, key=value, key: value)``: the notation of operators and transformations.

README, command line, store and report share it. Values are words (names, possibly dotted),
integers, and tuples of integers written ``2x1``.

>>> parse_call("group(co, ci, 2)")
Call(name='group', arguments=('co', 'ci', 2), keywords=(), pairs=())
>>> parse_call("tile(oh: 4, ow: 8)").pairs
(('oh', 4), ('ow', 8))
>>> parse_call("conv2d(stride=2x1)").keywords
(('stride', (2, 1)),)
>>> print(parse_call("bottleneck( ci,2 , keep = stride)"))
bottleneck(ci, 2, keep=stride)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from loopwright.errors import ParseError

Value = str | int | tuple[int, ...]

_TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z_][\w.]*)|(?P<number>-?\d+(?:x\d+)*)|(?P<mark>[(),=:]))")


@dataclass(frozen=True)
class Call:
    """A parsed call; its text form is canonical, so that equal calls print alike."""

    name: str
    arguments: tuple[Value, ...] = ()
    keywords: tuple[tuple[str, Value], ...] = ()
    pairs: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        parts = [_print(value) for value in self.arguments]
        parts += [f"{key}: {_print(value)}" for key, value in self.pairs]
        parts += [f"{key}={_print(value)}" for key, value in self.keywords]
        return f"{self.name}({', '.join(parts)})"


def parse_call(text: str, start: int = 0, end: int | None = None) -> Call:
    """Parses ``text[start:end]`` as one call; positions in errors count from the beginning of ``text``.

    Raises `ParseError` at the first character that does not fit.
    """
    reader = _Reader(text, start, len(text) if end is None else end)
    call = reader.call()
    reader.finish()
    return call


def _print(value: Value) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _number(token: str) -> Value:
    numbers = tuple(int(part) for part in token.split("x"))
    return numbers if len(numbers) > 1 else numbers[0]


class _Reader:
    """A cursor over the tokens of one call."""

    def __init__(self, text: str, start: int, end: int):
        self.text, self.position, self.end = text, start, end

    def call(self) -> Call:
        name = self.take("word", "expected a name")
        self.mark("(", f"expected '(' after {name!r}")
        arguments: list[Value] = []
        keywords: list[tuple[str, Value]] = []
        pairs: list[tuple[str, Value]] = []
        while not self.accept(")"):
            if arguments or keywords or pairs:
                self.mark(",", "expected ',' or ')'")
            self.argument(arguments, keywords, pairs)
        return Call(name, tuple(arguments), tuple(keywords), tuple(pairs))

    def argument(
        self, arguments: list[Value], keywords: list[tuple[str, Value]], pairs: list[tuple[str, Value]]
    ) -> None:
        value = self.value()
        if isinstance(value, str) and self.accept("="):
            if value in dict(keywords):
                raise self.error(f"{value} is given twice")
            keywords.append((value, self.value()))
        elif isinstance(value, str) and self.accept(":"):
            pairs.append((value, self.value()))
        else:
            arguments.append(value)

    def value(self) -> Value:
        kind, token, after = self.peek()
        if kind not in ("word", "number"):
            raise self.error("expected a name or a number")
        self.position = after
        return _number(token) if kind == "number" else token

    def take(self, kind: str, message: str) -> str:
        found, token, after = self.peek()
        if found != kind:
            raise self.error(message)
        self.position = after
        return token

    def mark(self, mark: str, message: str) -> None:
        if not self.accept(mark):
            raise self.error(message)

    def accept(self, mark: str) -> bool:
        kind, token, after = self.peek()
        if kind != "mark" or token != mark:
            return False
        self.position = after
        return True

    def peek(self) -> tuple[str | None, str, int]:
        match = _TOKEN.match(self.text, self.position, self.end)
        if match is None or match.lastgroup is None:
            return None, "", self.position
        return match.lastgroup, match.group(match.lastgroup), match.end()

    def finish(self) -> None:
        if self.text[self.position : self.end].strip():
            raise self.error("expected nothing more")

    def error(self, message: str) -> ParseError:
        rest = self.text[self.position : self.end]
        return ParseError(message, self.text, self.position + len(rest) - len(rest.lstrip()))
