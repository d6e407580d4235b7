"""The layers of a traced network, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from loopwright.report import formats

if TYPE_CHECKING:
    from loopwright.models.network import Network


def layer_table(network: Network, *, working_only: bool = False) -> Table:
    """One row a layer (``working_only``: a layer with multiply-accumulates): equal workloads have equal numbers, and a
    layer that the search keeps says why."""
    numbers = {text: str(number) for number, text in enumerate(network.workloads, 1)}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("layer", "workload", "operator, or why it is kept", "output", "MACs", "parameters"):
        right = heading in ("workload", "MACs", "parameters")
        table.add_column(heading, justify="right" if right else "left", no_wrap=not heading.startswith("operator"))
    for layer in (layer for layer in network.layers if layer.macs or not working_only):
        workload = numbers.get(str(layer.operator), "") if layer.transformable else ""
        what = "; ".join(filter(None, (str(layer.operator or ""), layer.reason)))
        figures = (formats.shape(layer.output_shape), formats.count(layer.macs), formats.count(layer.parameters))
        table.add_row(layer.name, workload, what, *figures, style=None if layer.transformable else "dim")
    return table


def totals(network: Network) -> str:
    """One line about the whole network."""
    return (
        f"{network.name}: {len(network.layers)} layers, {len(network.transformable)} of them transformable, "
        f"{len(network.workloads)} different workloads; {formats.count(network.macs)} MACs, "
        f"{formats.count(network.parameters)} parameters"
    )
