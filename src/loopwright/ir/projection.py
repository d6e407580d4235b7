"""Learned completion: all outputs as 1x1 convolution of those that are kept.

The kept channels of a convolution followed by a projection are a convolution of low rank; a depthwise convolution
followed by one is a depthwise-separable convolution (Howard et al., "MobileNets", 2017).
"""

from __future__ import annotations

from dataclasses import replace

from loopwright.errors import NotApplicableError
from loopwright.ir.affine import Affine, var
from loopwright.ir.loopnest import Access, Computation, Iterator, LoopNest, Projection, untransformed


def project(nest: LoopNest) -> LoopNest:
    """The nest followed by a learned projection of the channels that it writes onto all channels.

    Raises `NotApplicableError` where a projection is there, or the channels written are not evenly spaced.
    """
    if nest.projection is not None:
        raise NotApplicableError("the outputs are a learned projection already; say complete=project once")
    channels = _written_channels(nest)
    step = channels[1] - channels[0] if len(channels) > 1 else 1
    if channels != list(range(channels[0], channels[-1] + 1, step)):
        raise NotApplicableError(
            f"a projection reads evenly spaced channels, and this nest writes {_some(channels)}; "
            f"take other channels (keep=stride), or leave out complete=project"
        )
    projecting = untransformed(_projection(nest.computation, len(channels)))
    statements = tuple(replace(statement, name="p0") for statement in projecting.statements)
    projecting = replace(projecting, statements=statements)
    return replace(nest, projection=Projection(channels[0], step, len(channels), projecting))


def _written_channels(nest: LoopNest) -> list[int]:
    axis = nest.computation.channel_axis
    written = [statement.written.project([axis]) for statement in nest.statements]
    size = [nest.computation.output.shape[axis]]
    return sorted({int(channel) for lattice in written for channel in lattice.flat(size).ravel()})


def _some(channels: list[int]) -> str:
    shown = ", ".join(map(str, channels[:6]))
    return shown if len(channels) <= 6 else f"{shown}, ..."


def _projection(computation: Computation, count: int) -> Computation:
    """``output[..., co, ...] += kept[..., ci, ...] * weight[co, ci]`` at every place of the output."""
    output, axis = computation.output, computation.channel_axis
    iterators = [_iterator(computation, k) for k in range(len(output.shape))]
    places: list[Affine] = [var(iterator.name) for iterator in iterators]
    kept = (*output.shape[:axis], count, *output.shape[axis + 1 :])
    return Computation(
        f"project(co={output.shape[axis]}, ci={count})",
        (*iterators[: axis + 1], Iterator("ci", count, "channel"), *iterators[axis + 1 :]),
        Access("kept", kept, (*places[:axis], var("ci"), *places[axis + 1 :])),
        Access("projection", (output.shape[axis], count), (var("co"), var("ci"))),
        replace(output, index=tuple(places)),
        axis,
    )


def _iterator(computation: Computation, axis: int) -> Iterator:
    """The iterator over an axis of the output, named as the operator's own where that is one."""
    extent = computation.output.shape[axis]
    if axis == computation.channel_axis:
        return Iterator("co", extent, "channel")
    own = computation.output.index[axis].variables
    name = next(iter(own)) if len(own) == 1 else f"o{axis}"
    roles = {computation.role(iterator) for iterator in own}
    return Iterator(name, extent, roles.pop() if len(roles) == 1 else "spatial")
