"""Several runs on one page: a table, and their fronts over each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from loopwright.files import write_atomically
from loopwright.report import candidates, formats, plotly_js, quantities
from loopwright.report.figure import INK, style, to_html
from loopwright.report.figures.front import hover
from loopwright.report.numbers import Cell, Rows, to_csv
from loopwright.report.page import PAGE
from loopwright.report.page_data import embedded
from loopwright.report.summary import RunSummary
from loopwright.report.templates import environment

COLOURS = ("#0f766e", "#c2410c", "#1d4ed8", "#a21caf", "#4d7c0f", "#b45309", "#475569", "#be123c")
RELATIVE = "relative_latency"
WIDTHS = (*quantities.WIDTHS, RELATIVE)
TITLES = {RELATIVE: "latency: sum over layers, of the original's"}


def write_comparison(runs: Mapping[Path, RunSummary], path: Path) -> None:
    """Writes the page of ``runs``, by their folders, and beside it ``NAME-runs.csv`` and ``NAME-fronts.csv``."""
    height = common_height(runs)
    table, points = run_rows(runs, height), front_rows(runs, height) if height else []
    write_atomically(path.with_name(f"{path.stem}-runs.csv"), to_csv(table))
    write_atomically(path.with_name(f"{path.stem}-fronts.csv"), to_csv(points))
    write_atomically(path, _render(runs, path, height, table, points))


def common_height(runs: Mapping[Path, RunSummary]) -> str:
    """The preferred one of the quantities that the candidates of all runs have; empty if there is none."""
    each = [quantities.known_heights(rows[0]) if (rows := candidates.candidates(run)) else [] for run in runs.values()]
    return next((height for height in each[0] if all(height in heights for heights in each)), "")


def run_rows(runs: Mapping[Path, RunSummary], height: str) -> Rows:
    """One row a run; the last quantity before the environment is ``height`` of the chosen network, if there is one."""
    return [_run_row(str(folder), run, height) for folder, run in runs.items()]


def _run_row(name: str, run: RunSummary, height: str) -> dict[str, Cell]:
    chosen = next((row for row in candidates.candidates(run) if row["status"] == candidates.CHOSEN), None)
    return {
        "run": name,
        "model": run.model,
        "target": run.target,
        "input": formats.shape(run.input_shape),
        "original_latency_ms": run.original.latency_ms,
        "chosen_latency_ms": run.chosen.latency_ms,
        "speedup": run.speedup,
        "original_macs": run.original.macs,
        "chosen_macs": run.chosen.macs,
        "original_parameters": run.original.parameters,
        "chosen_parameters": run.chosen.parameters,
        **({height: chosen[height] if chosen else quantities.height_of_original(height)} if height else {}),
        "configurations": run.configurations,
        "seed": run.seed,
        "created": run.created,
        "version": run.version,
        "processor": run.environment.get("processor", ""),
        "threads": run.environment.get("threads", ""),
        "command": run.command,
    }


def front_rows(runs: Mapping[Path, RunSummary], height: str) -> Rows:
    """One row a candidate that was timed, and one for each original; ``on_front`` is in latency and ``height``."""
    found: list[Mapping[str, Cell]] = []
    for folder, run in runs.items():
        timed = [row for row in candidates.candidates(run) if row["latency_ms"] is not None]
        on_front = _front(timed, "latency_ms", height)
        first = next((row["latency_ms"] for row in timed if row["status"] == candidates.ORIGINAL), None)
        found += [
            {
                "run": str(folder),
                **{name: row[name] for name in _COLUMNS},
                RELATIVE: None if first is None else float(row["latency_ms"] or 0) / float(first),
                height: row[height],
                "on_front": index in on_front,
            }
            for index, row in enumerate(timed)
        ]
    return found


_COLUMNS = ("candidate", "status", "reason", "changed_layers", "families", "sequences", "network_latency_ms",
            *quantities.WIDTHS)  # fmt: skip


def _front(rows: Rows, width: str, height: str) -> list[int]:
    points = [(row[width], row[height]) for row in rows]
    return quantities.non_dominated(points, quantities.lower_is_better(height))


def _draw(rows: Rows, height: str) -> go.Figure:
    """For each run its points and the line that joins its front; `_places` moves them to another width."""
    names, places = list(dict.fromkeys(str(row["run"]) for row in rows)), _places(rows, "latency_ms", height)
    drawing = go.Figure()
    for number, name in enumerate(names):
        own, colour = [row for row in rows if row["run"] == name], COLOURS[number % len(COLOURS)]
        points, line = 2 * number, 2 * number + 1
        drawing.add_scatter(
            x=places["x"][points],
            y=places["y"][points],
            mode="markers",
            name=escape(name),
            legendgroup=name,
            marker={
                "color": colour,
                "opacity": 0.8,
                "size": [_SIZES.get(str(row["status"]), 9) for row in own],
                "symbol": [_SYMBOLS.get(str(row["status"]), "circle") for row in own],
                "line": {
                    "color": [INK if row["status"] == candidates.ORIGINAL else "white" for row in own],
                    "width": 1,
                },
            },
            text=[f"<b>{escape(name)}</b><br>{hover(row)}" for row in own],
            hovertemplate="%{text}<extra></extra>",
        )
        drawing.add_scatter(
            x=places["x"][line],
            y=places["y"][line],
            mode="lines",
            legendgroup=name,
            showlegend=False,
            line={"color": colour, "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
        )
    drawing.update_layout(hovermode="closest")
    return style(drawing, 500, quantities.title("latency_ms"), quantities.title(height))


_SIZES = {candidates.CHOSEN: 16, candidates.ORIGINAL: 14}
_SYMBOLS = {candidates.CHOSEN: "star", candidates.ORIGINAL: "diamond"}


def _places(rows: Rows, width: str, height: str) -> dict[str, Any]:
    """The coordinates of every trace of `_draw`, with the title of the horizontal axis."""
    x, y = [], []
    for name in dict.fromkeys(row["run"] for row in rows):
        own = [row for row in rows if row["run"] == name]
        front = [own[index] for index in _front(own, width, height)]
        x += [[row[width] for row in part] for part in (own, front)]
        y += [[row[height] for row in part] for part in (own, front)]
    return {"x": x, "y": y, "title": TITLES.get(width) or quantities.title(width)}


def _render(runs: Mapping[Path, RunSummary], path: Path, height: str, table: Rows, points: Rows) -> str:
    places = {width: _places(points, width, height) for width in WIDTHS} if points else {}
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            table=table,
            points=points,
            height=height,
            height_title=quantities.title(height) if height else "",
            links=[_link(folder, path) for folder in runs],
            places=places,
            data=embedded(places),
            drawing=to_html(_draw(points, height), "figure-fronts") if points else "",
            plotly=plotly_js.cartesian() if points else "",
            name=path.stem,
        )
    )


def _link(folder: Path, page: Path) -> str:
    """The path of a run's own report from the page; empty if it has none."""
    report = folder / PAGE
    return os.path.relpath(report, page.parent) if report.is_file() else ""
