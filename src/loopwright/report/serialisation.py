"""`RunSummary` as JSON and back, exactly.

>>> from loopwright.report.summary import Rejection
>>> build(Rejection, {"reason": "below the original", "count": 3})
Rejection(reason='below the original', count=3)
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from loopwright.errors import StoreError
from loopwright.report.summary import RunSummary

FORMAT = 2


def to_json(summary: RunSummary) -> str:
    """The summary as JSON, one line a field or a row of a table, with the number of its format."""
    fields = {"format": FORMAT, **asdict(summary)}
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {_lines(value)}" for name, value in fields.items()) + "\n}\n"


def from_json(text: str) -> RunSummary:
    """The summary that `to_json` wrote.

    Raises StoreError if the text is something else or comes from another version.
    """
    try:
        data = json.loads(text)
        found = _plain(int, data["format"])
        summary = build(RunSummary, data) if found == FORMAT else None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"this is not the summary of a run ({type(error).__name__}: {error})") from error
    if summary is None:
        mend = "upgrade Loopwright" if found > FORMAT else "optimize again, with the same store it is quick"
        raise StoreError(f"the summary has format {found}, this Loopwright knows {FORMAT}; {mend}")
    return summary


def _lines(value: Any) -> str:
    """A table with one line a row; anything else on one line."""
    if not (isinstance(value, (list, tuple)) and value and isinstance(value[0], dict)):
        return json.dumps(value, allow_nan=False)
    return "[\n  " + ",\n  ".join(json.dumps(item, allow_nan=False) for item in value) + "\n]"


def build(kind: Any, data: Any) -> Any:
    """``data``, as JSON gives it, as a value of type ``kind``: dataclasses, tuples and optional values of plain ones.

    Raises KeyError for a missing field and TypeError for a value of another type.
    """
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: build(hints[field.name], data[field.name]) for field in fields(kind)})  # type: ignore[operator]
    if isinstance(kind, UnionType):
        return None if data is None else build(next(part for part in get_args(kind) if part is not NoneType), data)
    if get_origin(kind) is tuple:
        return tuple(build(get_args(kind)[0], item) for item in data)
    return _plain(get_origin(kind) or kind, data)


def _plain(kind: type, data: Any) -> Any:
    if kind is float and type(data) is int:
        return float(data)
    if not isinstance(data, kind):
        raise TypeError(f"expected {kind.__name__}, found {data!r}")
    return data
