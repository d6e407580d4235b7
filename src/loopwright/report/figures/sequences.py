"""Which sequences won, and how often."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from html import escape

import plotly.graph_objects as go

from loopwright.report.candidates import candidates
from loopwright.report.families import UNCHANGED, family
from loopwright.report.figure import CHOSEN, OTHER, Figure, style
from loopwright.report.numbers import Rows
from loopwright.report.summary import IDENTITY, OperatorFigures, RunSummary

DRAWN, WIDTH = 20, 56


def numbers(summary: RunSummary) -> Rows:
    """One row a sequence: how many layers of the chosen network took it, and how many layers of the candidates on the
    front did on average. Recipes go by their name, with one of their sequences."""
    by_text = {(operator.workload, operator.sequence): operator for operator in summary.operators}
    chosen = _counts(by_text[layer.operator, layer.sequence] for layer in summary.layers)
    numbers_on_front = {row["candidate"] for row in candidates(summary) if row["on_front"]}
    front = [candidate for candidate in summary.candidates if candidate.number in numbers_on_front]
    on_front = _counts(summary.operators[index] for candidate in front for index in candidate.operators)
    texts = {_title(operator): operator.sequence for operator in reversed(summary.operators)}
    titles = sorted({*chosen, *on_front}, key=lambda title: (-chosen[title], -on_front[title], title))
    return [
        {
            "sequence": title,
            "steps": texts[title],
            "family": family(texts[title]),
            "layers_of_chosen": chosen[title],
            "layers_on_front": on_front[title] / len(front) if front else 0.0,
        }
        for title in titles
    ]


def _counts(operators: Iterable[OperatorFigures]) -> Counter[str]:
    return Counter(_title(operator) for operator in operators)


def _title(operator: OperatorFigures) -> str:
    return UNCHANGED if operator.sequence == IDENTITY else operator.name or operator.sequence


def draw(rows: Rows) -> go.Figure:
    """Two bars for each of the first `DRAWN` sequences, the most frequent on top."""
    shown = rows[:DRAWN]
    drawing = go.Figure(
        [
            _bars(shown, "layers of the chosen network", "layers_of_chosen", CHOSEN),
            _bars(shown, "layers of a candidate on the front, mean", "layers_on_front", OTHER),
        ]
    )
    drawing.update_layout(barmode="group", bargap=0.25)
    style(drawing, 130 + 34 * len(shown), "layers", "")
    labels = [_axis_label(str(row["sequence"])) for row in shown]
    drawing.update_yaxes(tickmode="array", tickvals=list(range(len(shown))), ticktext=labels)
    drawing.update_yaxes(autorange="reversed", showgrid=False, tickfont={"size": 12})
    drawing.update_yaxes(ticks="outside", ticklen=8, tickcolor="rgba(0,0,0,0)")
    return drawing.update_xaxes(rangemode="tozero")


def _bars(rows: Rows, name: str, column: str, colour: str) -> go.Bar:
    return go.Bar(
        x=[row[column] for row in rows],
        y=list(range(len(rows))),
        orientation="h",
        name=name,
        marker={"color": colour},
        customdata=[_lines(str(row["steps"])) for row in rows],
        hovertemplate="%{x:.3~g} " + name + "<br>%{customdata}<extra></extra>",
    )


def _axis_label(title: str) -> str:
    return "<br>".join(escape(line) for line in textwrap.wrap(title, WIDTH, max_lines=2, placeholder=" ..."))


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in textwrap.wrap(text, WIDTH))


FIGURE = Figure(
    name="sequences",
    position=4,
    title="Winning sequences",
    caption="How many layers take each sequence. Known operators go by the name of their recipe. At most "
    f"{DRAWN} are drawn; the CSV has all.",
    numbers=numbers,
    draw=draw,
)
