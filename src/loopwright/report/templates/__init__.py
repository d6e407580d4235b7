"""Pages as Jinja templates, with the style and the script that they include."""

from __future__ import annotations

import base64
from functools import cache

import jinja2
from markupsafe import Markup

from loopwright.report import formats
from loopwright.report.numbers import Rows, to_csv


@cache
def environment() -> jinja2.Environment:
    """The templates of this folder; every text is escaped unless it is markup."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("loopwright.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        count=formats.count,
        milliseconds=formats.milliseconds,
        score=formats.score,
        shape=formats.shape,
        csv_link=csv_link,
    )
    return found


def csv_link(rows: Rows, name: str) -> Markup:
    """A link that saves the rows as ``name.csv``; they are in the link, so that the page needs no other file."""
    content = base64.b64encode(to_csv(rows).encode()).decode()
    return Markup('<a class="csv" download="{0}.csv" href="data:text/csv;charset=utf-8;base64,{1}">CSV</a>').format(
        name, content
    )
