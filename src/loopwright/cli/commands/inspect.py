"""``loopwright inspect``: the layers of a network and their loop nests."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loopwright.cli.options import InputShape, Json, Model, input_shape

if TYPE_CHECKING:
    from loopwright.models.network import Network


def command(
    model: Model,
    layer: Annotated[str | None, typer.Option(metavar="NAME", help="Show this layer's loop nest only.")] = None,
    nests: Annotated[bool, typer.Option("--nests", help="Show the loop nest of every workload as well.")] = False,
    shape: InputShape = None,
    json: Json = False,
) -> None:
    """Show a network's layers and loop nests.

    Layers with the same workload number compute the same; a layer that can't be transformed is kept, with the reason.
    """
    wanted_shape = input_shape(shape)
    from loopwright.cli.console import output_console
    from loopwright.cli.layers import layer_table, totals
    from loopwright.cli.networks import traced

    network = traced(model, wanted_shape)
    if json:
        typer.echo(dumps(_facts(network, layer), indent=1))
        return
    if layer is not None:
        typer.echo(_nest_of(network, layer))
        return
    output_console().print(layer_table(network))
    typer.echo(totals(network))
    if nests:
        for workload, names in network.workloads.items():
            typer.echo(f"\n{_nest_of(network, names[0])}\nin {', '.join(names)}: {workload}")


def _facts(network: Network, name: str | None) -> dict[str, Any]:
    """The network's layers, or the one of that name, as plain data."""
    layers = network.layers if name is None else (network.layer(name),)
    return {
        "model": network.name,
        "input_shape": network.input_shape,
        "macs": network.macs,
        "parameters": network.parameters,
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "operator": None if layer.operator is None else str(layer.operator),
                "transformable": layer.transformable,
                "reason": layer.reason,
                "output_shape": layer.output_shape,
                "macs": layer.macs,
                "parameters": layer.parameters,
            }
            for layer in layers
        ],
    }


def _nest_of(network: Network, name: str) -> str:
    from loopwright.ir.printer import print_nest

    operator = network.operator(name)
    return f"{operator}\n\n{print_nest(operator.nest())}"
