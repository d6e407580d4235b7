"""A run as a notebook shows it: a few lines of HTML without style sheets or scripts."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from loopwright.report import formats
from loopwright.report.comparison import comparison
from loopwright.report.summary import LayerFigures, RunSummary
from loopwright.report.tables import speedup_line

SHOWN = 8
"""Layers: those that gained most."""


def table_html(summary: RunSummary) -> str:
    """Both networks beside each other, and the changed layers that gained most; every text is escaped."""
    networks = _table(
        ("", "original", "chosen", "change"),
        ((line.quantity, line.original, line.chosen, line.change) for line in comparison(summary)),
    )
    changed = sorted((layer for layer in summary.layers if layer.changed), key=_gain, reverse=True)
    parts = [f"<p><b>{escape(speedup_line(summary))}</b></p>", networks]
    if changed:
        left = f", {SHOWN} of {len(changed)} that changed" if len(changed) > SHOWN else ""
        parts += [f"<p>Layers that gained most{left}</p>", _table(HEADINGS, map(_row, changed[:SHOWN]))]
    return f"<div>{''.join(parts)}</div>"


HEADINGS = ("layer", "sequence", "MACs", "parameters", "latency, ms")


def _row(layer: LayerFigures) -> tuple[str, ...]:
    pairs = (
        (formats.count(layer.macs_before), formats.count(layer.macs_after)),
        (formats.count(layer.parameters_before), formats.count(layer.parameters_after)),
        (formats.milliseconds(layer.latency_before_ms), formats.milliseconds(layer.latency_after_ms)),
    )
    return (layer.name, layer.sequence, *(f"{before} → {after}" for before, after in pairs))


def _gain(layer: LayerFigures) -> float:
    """Milliseconds, 0 where the layer was not timed alone."""
    return (layer.latency_before_ms or 0.0) - (layer.latency_after_ms or 0.0)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
