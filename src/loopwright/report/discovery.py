"""What an enumeration of operators found: as a table, as lines of text, and as numbers."""

from __future__ import annotations

from rich import box
from rich.table import Table

from loopwright.report import formats
from loopwright.report.numbers import Rows
from loopwright.search.discover import Discovery
from loopwright.search.expansion import Found


def table(discovery: Discovery, top: int) -> Table:
    """Known operators with their names, then the ``top`` new ones with the fewest MACs."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("operator", "MACs", "of all", "parameters", "of all", "steps"):
        drawn.add_column(heading, justify="left" if heading == "operator" else "right", no_wrap=True)
    drawn.add_column("sequence")
    for found in (*discovery.known, *discovery.new[:top]):
        drawn.add_row(
            discovery.names.get(found.key, "new"),
            formats.count(found.macs),
            _share(found.macs, discovery.original.macs),
            formats.count(found.parameters),
            _share(found.parameters, discovery.original.parameters),
            str(len(found.sequence)),
            str(found.sequence),
        )
    return drawn


def summary(discovery: Discovery) -> list[str]:
    """What was enumerated, how much was found, and which names were not met."""
    missing = [name for key, name in discovery.names.items() if key not in discovery.operators]
    lines = [
        f"{discovery.operator}: {discovery.bounds}",
        f"{discovery.sequences:,} sequences, {len(discovery.operators):,} distinct operators: "
        f"{len(discovery.known):,} known, {len(discovery.new):,} new",
    ]
    return [*lines, f"known, but not within these bounds: {', '.join(missing)}"] if missing else lines


def rows(discovery: Discovery) -> Rows:
    """All operators, in the table's order; ``name`` is empty for new ones."""
    return [_row(discovery, found) for found in (*discovery.known, *discovery.new)]


def _row(discovery: Discovery, found: Found) -> dict[str, str | int | float]:
    return {
        "name": discovery.names.get(found.key, ""),
        "macs": found.macs,
        "parameters": found.parameters,
        "macs_share": round(found.macs / discovery.original.macs, 6),
        "parameters_share": round(found.parameters / discovery.original.parameters, 6),
        "steps": len(found.sequence),
        "sequence": str(found.sequence),
    }


def _share(part: int, whole: int) -> str:
    return f"{formats.significant(100 * part / whole)} %"
