"""The JavaScript that draws figures, to be put into a page.

``vendor/plotly-cartesian.min.js`` is the npm package ``plotly.js-cartesian-dist-min`` as published, of the version that
the pinned ``plotly`` package ships in full: a third of its size, without maps and three dimensions.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from markupsafe import Markup


@cache
def cartesian() -> Markup:
    """Scatter, bar, box and the other two-dimensional traces; not their WebGL variants."""
    return Markup(files("loopwright.report").joinpath("vendor/plotly-cartesian.min.js").read_text(encoding="utf-8"))
