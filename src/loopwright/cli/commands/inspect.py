"""``loopwright inspect``: the layers of a network and their loop nests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.options import InputShape, Model, input_shape

if TYPE_CHECKING:
    from rich.table import Table

    from loopwright.models.network import Network


def command(
    model: Model,
    layer: Annotated[str | None, typer.Option(metavar="NAME", help="Show this layer's loop nest only.")] = None,
    nests: Annotated[bool, typer.Option("--nests", help="Show the loop nest of every workload as well.")] = False,
    shape: InputShape = None,
) -> None:
    """Show a network's layers and loop nests.

    Layers with the same workload number compute the same; a layer that can't be transformed is kept, with the reason.
    """
    wanted_shape = input_shape(shape)
    from loopwright.cli.console import output_console
    from loopwright.cli.networks import traced

    network = traced(model, wanted_shape)
    if layer is not None:
        typer.echo(_nest_of(network, layer))
        return
    output_console().print(_layer_table(network))
    typer.echo(_totals(network))
    if nests:
        for workload, names in network.workloads.items():
            typer.echo(f"\n{_nest_of(network, names[0])}\nin {', '.join(names)}: {workload}")


def _layer_table(network: Network) -> Table:
    from rich import box
    from rich.table import Table

    from loopwright.report import formats

    numbers = {text: str(number) for number, text in enumerate(network.workloads, 1)}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("layer", "workload", "operator, or why it is kept", "output", "MACs", "parameters"):
        right = heading in ("workload", "MACs", "parameters")
        table.add_column(heading, justify="right" if right else "left", no_wrap=not heading.startswith("operator"))
    for layer in network.layers:
        workload = numbers.get(str(layer.operator), "") if layer.transformable else ""
        what = str(layer.operator) if layer.transformable else layer.reason
        figures = (formats.shape(layer.output_shape), formats.count(layer.macs), formats.count(layer.parameters))
        table.add_row(layer.name, workload, what, *figures, style=None if layer.transformable else "dim")
    return table


def _totals(network: Network) -> str:
    from loopwright.report import formats

    return (
        f"{network.name}: {len(network.layers)} layers, {len(network.transformable)} of them transformable, "
        f"{len(network.workloads)} different workloads; {formats.count(network.macs)} MACs, "
        f"{formats.count(network.parameters)} parameters"
    )


def _nest_of(network: Network, name: str) -> str:
    from loopwright.ir.printer import print_nest

    layer = network.transformable_layer(name)
    assert layer.operator is not None
    return f"{layer.operator}\n\n{print_nest(layer.operator.nest())}"
