"""What the page's script works with: candidates, the operators of their layers, and the loop nests of these."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from loopwright.ir.printer import print_nest
from loopwright.operators import parse
from loopwright.report import quantities
from loopwright.report.candidates import candidates
from loopwright.report.summary import IDENTITY, OperatorFigures, RunSummary
from loopwright.transformations import TransformationSequence


def page_data(summary: RunSummary) -> dict[str, Any]:
    """``front`` has the rows of the figure; ``before`` and ``delivered`` the index of each layer's operator, and
    ``chosen`` those of each candidate that was timed, by its number."""
    rows = candidates(summary)
    indices = {(operator.workload, operator.sequence): index for index, operator in enumerate(summary.operators)}
    heights = quantities.known_heights(rows[0]) if rows else []
    return {
        "front": rows,
        "lower": [name for name in heights if quantities.lower_is_better(name)],
        "titles": {name: quantities.title(name) for name in (*quantities.WIDTHS, *heights)},
        "before": [indices[layer.operator, IDENTITY] for layer in summary.layers],
        "delivered": [indices[layer.operator, layer.sequence] for layer in summary.layers],
        "chosen": {candidate.number: candidate.operators for candidate in summary.candidates if candidate.operators},
        "operators": [_operator(operator) for operator in summary.operators],
    }


def _operator(operator: OperatorFigures) -> dict[str, Any]:
    nest = TransformationSequence.parse(operator.sequence).apply(parse(operator.workload).nest())
    return {
        "name": operator.name,
        "sequence": operator.sequence,
        "macs": operator.macs,
        "parameters": operator.parameters,
        "latency_ms": operator.latency_ms,
        "nest": print_nest(nest),
    }


def embedded(data: Any) -> Markup:
    """JSON that may stand inside a ``script`` element, whatever texts it holds."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
