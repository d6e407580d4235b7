"""``loopwright transform``: what a sequence makes of a loop nest, and whether that is legal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from loopwright.cli.options import MODEL_HELP, Data, Device, Images, InputShape, Seed, input_shape
from loopwright.errors import ArgumentError

if TYPE_CHECKING:
    from loopwright.cli.judging import Judge
    from loopwright.ir.loopnest import LoopNest
    from loopwright.legality.verdict import Verdict
    from loopwright.models.network import Network
    from loopwright.transformations import TransformationSequence

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[MODEL] SEQUENCE",
        help=f"{MODEL_HELP} Left out with --operator. Then the steps, such as 'split(oh, 16) -> group(co, ci, 2)'.",
        show_default=False,
    ),
]


def command(
    words: Words,
    layer: Annotated[str | None, typer.Option(metavar="NAME", help="The layer of MODEL to transform.")] = None,
    operator: Annotated[
        str | None,
        typer.Option(metavar="OPERATOR", help="In place of a model: 'conv2d(co=64, ci=64, oh=32, ow=32, kh=3, kw=3)'."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Sums must keep their order too, for bit-identical results.")
    ] = False,
    data: Data = None,
    images: Images = 32,
    seed: Seed = 0,
    device: Device = "cpu",
    shape: InputShape = None,
) -> None:
    """Show what a sequence makes of a loop nest.

    The nest before and after, its MACs and parameters, and whether the change is legal and why.
    """
    model, text = _model_and_sequence(words, layer, operator)
    wanted_shape = input_shape(shape)
    from loopwright.cli.judging import Judge
    from loopwright.transformations import TransformationSequence

    sequence, judge = TransformationSequence.parse(text), Judge(strict, data, images, seed, device)
    if operator is not None:
        _transform_operator(operator, sequence, judge)
    else:
        from loopwright.cli.networks import traced
        from loopwright.models.devices import require_device

        require_device(device)
        _transform_layer(traced(model, wanted_shape, seed), str(layer), sequence, judge)


def _model_and_sequence(words: list[str], layer: str | None, operator: str | None) -> tuple[str, str]:
    if operator is not None:
        if layer is not None or len(words) != 1:
            raise ArgumentError("with --operator give the SEQUENCE only, without MODEL and --layer")
        return "", words[0]
    if len(words) != 2 or layer is None:
        raise ArgumentError("give MODEL --layer NAME 'SEQUENCE', or --operator 'conv2d(...)' 'SEQUENCE'")
    return words[0], words[1]


def _transform_operator(text: str, sequence: TransformationSequence, judge: Judge) -> None:
    from loopwright import operators

    before = operators.parse(text).nest()
    after = sequence.apply(before)
    _show(before, sequence, after)
    _say(judge.nest(after))
    if _is_neural(sequence):
        typer.echo(f"{'capacity':<13}judged within a network only; give MODEL --layer NAME")


def _transform_layer(network: Network, layer: str, sequence: TransformationSequence, judge: Judge) -> None:
    before = network.operator(layer).nest()
    after = sequence.apply(before)
    _show(before, sequence, after)
    _say(judge.nest(after))
    if not _is_neural(sequence):
        return
    if reason := network.layer(layer).reason:
        typer.echo(f"{'capacity':<13}not judged: {reason}")
    else:
        for verdict in judge.layer(network, layer, after):
            _say(verdict)


def _is_neural(sequence: TransformationSequence) -> bool:
    return any(step.transformation.neural for step in sequence)


def _show(before: LoopNest, sequence: TransformationSequence, after: LoopNest) -> None:
    from loopwright.ir.printer import print_nest
    from loopwright.ir.traffic import traffic

    typer.echo(f"{before.computation.text}\n\n{print_nest(before)}\n\nafter {sequence}\n\n{print_nest(after)}\n")
    counts = (
        ("MACs", before.macs, after.macs),
        ("parameters", before.parameters, after.parameters),
        ("bytes", traffic(before).memory_bytes, traffic(after).memory_bytes),
    )
    for name, old, new in counts:
        typer.echo(f"{name:<13}{old:,} -> {new:,}" + (f" ({old / new:.2f}x fewer)" if new < old else ""))


def _say(verdict: Verdict) -> None:
    witness = f"; {verdict.witness}" if verdict.witness else ""
    typer.echo(f"{verdict.check:<13}{'legal' if verdict.legal else 'illegal'}: {verdict.reason}{witness}")
