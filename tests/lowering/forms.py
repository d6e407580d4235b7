"""Operator forms for the kernel tests, and their meaning in plain float64 loops."""

from __future__ import annotations

from itertools import product

import numpy as np

from loopwright.ir.affine import var
from loopwright.ir.contraction import Contraction, Dim, OperatorForm
from loopwright.ir.loopnest import Case


def reference(form: OperatorForm, images: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """(N, C, H, W) to (N, C', H', W'): every contraction point by point over its dims, then the completion."""
    raw = np.zeros((len(images), *form.output_shape))
    for contraction, weight in zip(form.contractions, weights, strict=True):
        accumulate(contraction, images.astype(np.float64), weight.astype(np.float64), raw)
    return complete(form, raw)


def accumulate(contraction: Contraction, images: np.ndarray, weight: np.ndarray, raw: np.ndarray) -> None:
    """Adds one contraction; the loop runs over all dims but the reads are checked against the input's extents."""
    grids = np.indices([dim.extent for dim in contraction.dims]).reshape(len(contraction.dims), -1)
    read, written = (
        [
            sum(
                (g * getattr(d, side)[axis] for g, d in zip(grids, contraction.dims, strict=True)),
                np.full(grids.shape[1:], off[axis]),
            )
            for axis in range(3)
        ]
        for side, off in (("input", contraction.input_offset), ("output", contraction.output_offset))
    )
    weight_index = tuple(g for g, d in zip(grids, contraction.dims, strict=True) if d.in_weight)
    factor = weight[weight_index] if weight_index else np.full(grids.shape[1:], float(weight))
    rows, columns = images.shape[2:]
    inside = (read[1] >= 0) & (read[1] < rows) & (read[2] >= 0) & (read[2] < columns)
    values = images[:, read[0], read[1] % rows, read[2] % columns] * (factor * inside)
    for image, value in zip(raw, values, strict=True):
        np.add.at(image, tuple(written), value)


def complete(form: OperatorForm, raw: np.ndarray) -> np.ndarray:
    result = raw.copy()
    for point in product(*(range(extent) for extent in form.output_shape)):
        names = dict(zip(("o0", "o1", "o2"), point, strict=True))
        for case in form.completion:
            if all(0 <= expression.evaluate(names) < bound for expression, bound in case.where):
                source = tuple(expression.evaluate(names) for expression in case.source)
                result[(slice(None), *point)] = raw[(slice(None), *source)]
                break
    return result


def rows(extent: int, stride: int = 1) -> Dim:
    return Dim(extent, (0, stride, 0), (0, 1, 0), False)


def columns(extent: int, stride: int = 1) -> Dim:
    return Dim(extent, (0, 0, stride), (0, 0, 1), False)


def taps(k: int, dilation: int = 1) -> tuple[Dim, ...]:
    return tuple(Dim(k, step, (0, 0, 0), True) for step in ((0, dilation, 0), (0, 0, dilation)))


def conv(
    co: int,
    ci: int,
    size: int,
    k: int = 3,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
    width: int | None = None,
) -> OperatorForm:
    """A (grouped, strided, dilated) square convolution; ``size`` is that of the output."""
    width = width or size
    cog, cig = co // groups, ci // groups
    pad = (k - 1) // 2 * dilation
    dims = [rows(size, stride), columns(width, stride)]
    if groups > 1:
        dims.append(Dim(groups, (cig, 0, 0), (cog, 0, 0), True))
    dims += [Dim(cog, (0, 0, 0), (1, 0, 0), True), Dim(cig, (1, 0, 0), (0, 0, 0), True), *taps(k, dilation)]
    contraction = Contraction(tuple(d for d in dims if d.extent > 1), (0, -pad, -pad), (0, 0, 0))
    return OperatorForm((ci, size * stride, width * stride), (co, size, width), (contraction,))


def part(co: int, ci: int, size: int, start: int, groups: int = 1, k: int = 3) -> Contraction:
    """Output channels ``start .. start + co`` of a convolution whose input is ``ci`` channels, in groups."""
    form = conv(co, ci, size, k, groups=groups).contractions[0]
    return Contraction(form.dims, form.input_offset, (start, 0, 0))


def parts(co: int, ci: int, size: int, cuts: list[tuple[int, int]]) -> OperatorForm:
    """Several contractions over parts of the output channels: (channels, groups) each (Sequences 2 and 3)."""
    contractions, start = [], 0
    for channels, groups in cuts:
        contractions.append(part(channels, ci, size, start, groups))
        start += channels
    assert start == co
    return OperatorForm((ci, size, size), (co, size, size), tuple(contractions))


def strips(co: int, ci: int, size: int, groups: int) -> OperatorForm:
    """Sequence 1: strip g of the rows has only the output channels of tile g; the others take its value there."""
    height, tile = size // groups, co // groups
    dims = (
        rows(height),
        columns(size),
        Dim(groups, (0, height, 0), (tile, height, 0), True),
        Dim(tile, (0, 0, 0), (1, 0, 0), True),
        Dim(ci, (1, 0, 0), (0, 0, 0), True),
        *taps(3),
    )
    o0, o1, o2 = var("o0"), var("o1"), var("o2")
    case = Case((), ((o1 // height) * tile + o0 % tile, o1, o2))
    contraction = Contraction(dims, (0, -1, -1), (0, 0, 0))
    return OperatorForm((ci, size, size), (co, size, size), (contraction,), (case,))


def spatial_bottleneck(co: int, ci: int, size: int, factor: int = 2) -> OperatorForm:
    step = [Dim(size // factor, s, s, False) for s in ((0, factor, 0), (0, 0, factor))]
    dims = (*step, Dim(co, (0, 0, 0), (1, 0, 0), True), Dim(ci, (1, 0, 0), (0, 0, 0), True), *taps(3))
    o0, o1, o2 = var("o0"), var("o1"), var("o2")
    case = Case((), (o0, (o1 // factor) * factor, (o2 // factor) * factor))
    contraction = Contraction(dims, (0, -1, -1), (0, 0, 0))
    return OperatorForm((ci, size, size), (co, size, size), (contraction,), (case,))


def channel_bottleneck(co: int, ci: int, size: int, factor: int = 2, stride: bool = False) -> OperatorForm:
    """Keeps ``co / factor`` output channels, the first or every ``factor``-th, and repeats them."""
    kept = co // factor
    out = Dim(kept, (0, 0, 0), (factor if stride else 1, 0, 0), True)
    dims = (rows(size), columns(size), out, Dim(ci, (1, 0, 0), (0, 0, 0), True), *taps(3))
    o0, o1, o2 = var("o0"), var("o1"), var("o2")
    if stride:
        case = Case((), ((o0 // factor) * factor, o1, o2))
    else:
        case = Case(((o0 - kept, co - kept),), (o0 % kept, o1, o2))
    return OperatorForm((ci, size, size), (co, size, size), (Contraction(dims, (0, -1, -1), (0, 0, 0)),), (case,))
