"""An operator as a trainable PyTorch module.

Each contraction runs as one grouped ``conv2d`` where its dims allow that (dense, grouped, depthwise, strips of rows,
spatial and channel bottlenecks, ...), else as a product over strided views of the padded input.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from loopwright.ir.contraction import Contraction, OperatorForm, Point
from loopwright.lowering.assembly import Gather, Selection, assemble, compact_dims, source_tables
from loopwright.lowering.torch_contraction import lower


class OperatorModule(nn.Module):
    """(N, C, H, W) to (N, C', H', W') for any N.

    Parameters: ``weight_0``, ``weight_1``, ... hold the weights of one contraction each, in its ``weight_shape``; those
    that several contractions read are held once, flat. ``bias`` (C',) is added to the completed output.
    """

    def __init__(self, form: OperatorForm, weight_shape: Point, bias: bool = False):
        super().__init__()
        self.form = form
        self.original_weight_shape = tuple(weight_shape)
        self._contractions = [lower(contraction, form.input_shape) for contraction in form.contractions]
        self._pools = _pools([c.weight_indices(self.original_weight_shape) for c in form.contractions])
        for number, (elements, _) in enumerate(self._pools):
            self.register_parameter(f"weight_{number}", nn.Parameter(torch.zeros(elements.shape)))
        self.register_parameter("bias", nn.Parameter(torch.zeros(form.output_shape[0])) if bias else None)
        self._register_assembly()

    @classmethod
    def from_conv(cls, form: OperatorForm, conv: nn.Conv2d) -> OperatorModule:
        """The module with those weights of ``conv`` that the form still reads, each times the square root of the
        original's fan-in over the new one, so that activations keep their variance (He et al., 2015)."""
        module = cls(form, tuple(conv.weight.shape), conv.bias is not None)
        module.to(conv.weight.device, conv.weight.dtype)
        source = conv.weight.detach().reshape(-1)
        with torch.no_grad():
            for number, (elements, members) in enumerate(module._pools):
                gain = sqrt(prod(conv.weight.shape[1:]) / max(module._fan_in(k) for k in members))
                indices = torch.from_numpy(elements).to(source.device)
                getattr(module, f"weight_{number}").copy_(source[indices.reshape(-1)].reshape(indices.shape) * gain)
            if conv.bias is not None:
                module.bias.copy_(conv.bias.detach())
        return module

    def origins(self) -> dict[str, np.ndarray]:
        """For each weight parameter, the row-major numbers of its elements in the untransformed weight."""
        return {f"weight_{number}": elements for number, (elements, _) in enumerate(self._pools)}

    def contraction_weights(self) -> list[Tensor]:
        """The dense weight of every contraction, in the form's order."""
        weights: dict[int, Tensor] = {}
        for number, (_, members) in enumerate(self._pools):
            pool = getattr(self, f"weight_{number}")
            for k, places in members.items():
                weights[k] = pool if places is None else pool[torch.from_numpy(places).to(pool.device)]
        return [weights[k] for k in range(len(self._contractions))]

    def forward(self, x: Tensor) -> Tensor:
        weights = self.contraction_weights()
        results = [run(x, weight) for run, weight in zip(self._contractions, weights, strict=True)]
        output = self._joined(results) if self._join is not None else self._summed(results)
        return output if self.bias is None else output + self.bias.view(1, -1, 1, 1)

    def _joined(self, results: Sequence[Tensor]) -> Tensor:
        """Results that complement one another along the channels, joined and selected from."""
        assert self._join is not None
        images = [self._image(result, selection) for result, selection in zip(results, self._images, strict=True)]
        image = images[0] if len(images) == 1 else torch.cat(images, 1)
        return self._selected(image, self._join)

    def _image(self, result: Tensor, selection: Selection) -> Tensor:
        order = [0, *(1 + axis for axis in selection.permutation)]
        return result.permute(order).reshape(result.shape[0], *selection.shape)

    def _selected(self, image: Tensor, tables: Sequence[str | None]) -> Tensor:
        for axis, name in enumerate(tables):
            if name is not None:
                image = image.index_select(1 + axis, getattr(self, name))
        return image

    def _summed(self, results: Sequence[Tensor]) -> Tensor:
        outputs = []
        for number, result in enumerate(results):
            padded = functional.pad(result.flatten(1), (0, 1))  # the last element, 0, is where nothing is added
            outputs.append(padded.index_select(1, getattr(self, f"_gather_{number}")))
        return torch.stack(outputs).sum(0).reshape(-1, *self.form.output_shape)

    def _register_assembly(self) -> None:
        """Buffers that are derived from the form and so not saved."""
        joined = joined_selection(self.form)
        self._join: list[str | None] | None = None
        if joined is None:
            for number, table in enumerate(source_tables(self.form)):
                size = prod(dim.extent for dim in compact_dims(self.form.contractions[number]))
                self._buffer(f"_gather_{number}", np.where(table < 0, size, table).ravel())
            return
        self._images, tables = joined
        self._join = []
        for axis, table in enumerate(tables):
            name = None if table is None else f"_select_{axis}"
            if name is not None and table is not None:
                self._buffer(name, table)
            self._join.append(name)

    def _buffer(self, name: str, table: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(table)), persistent=False)

    def _fan_in(self, number: int) -> int:
        contractions = self.form.contractions
        alone = self._join is not None
        return contractions[number].fan_in if alone else sum(contraction.fan_in for contraction in contractions)

    def extra_repr(self) -> str:
        return f"macs={self.form.macs}, parameters={self.form.parameters}, contractions={len(self.form.contractions)}"


Members = dict[int, np.ndarray | None]


def _pools(indices: Sequence[np.ndarray]) -> list[tuple[np.ndarray, Members]]:
    """Contractions whose weights overlap share a pool: the distinct elements, and each member's places among them
    (``None`` for a pool of one, which keeps its shape)."""
    groups: list[list[int]] = []
    for number, own in enumerate(indices):
        sharing = [group for group in groups if any(_overlap(own, indices[k]) for k in group)]
        groups = [group for group in groups if group not in sharing] + [[*(k for g in sharing for k in g), number]]
    pools: list[tuple[np.ndarray, Members]] = []
    for group in groups:
        if len(group) == 1:
            pools.append((indices[group[0]], {group[0]: None}))
        else:
            elements = np.unique(np.concatenate([indices[k].ravel() for k in group]))
            pools.append((elements, {k: np.searchsorted(elements, indices[k]) for k in group}))
    return pools


def _overlap(first: np.ndarray, second: np.ndarray) -> bool:
    apart = first.max() < second.min() or second.max() < first.min()
    return not apart and bool(np.isin(first.ravel(), second.ravel()).any())


def joined_selection(form: OperatorForm) -> tuple[list[Selection], tuple[np.ndarray | None, ...]] | None:
    """Images of all contractions that join along the channels, and one selection per axis from the joined image; or
    ``None`` where contractions overlap or don't line up."""
    tables = source_tables(form)
    if len(tables) == 1:
        only = assemble(form.contractions[0], tables[0])
        return None if isinstance(only, Gather) else ([only], only.tables)
    parts = [_part(contraction, table) for contraction, table in zip(form.contractions, tables, strict=True)]
    if any(part is None for part in parts):
        return None
    return _join_channels(form, [part for part in parts if part is not None], tables)


def _part(contraction: Contraction, table: np.ndarray) -> Selection | None:
    """The selection of those channels that a contraction serves, when it serves them at every place."""
    channels = (table >= 0).reshape(table.shape[0], -1)
    served = channels.all(1)
    if not np.array_equal(served, channels.any(1)) or not served.any():
        return None
    selection = assemble(contraction, table[served])
    return None if isinstance(selection, Gather) else selection


def _join_channels(
    form: OperatorForm, parts: list[Selection], tables: list[np.ndarray]
) -> tuple[list[Selection], tuple[np.ndarray | None, ...]] | None:
    shapes = {part.shape[1:] for part in parts}
    places = {tuple(None if table is None else tuple(table) for table in part.tables[1:]) for part in parts}
    served = np.stack([(table >= 0).reshape(table.shape[0], -1).all(1) for table in tables])
    if len(shapes) > 1 or len(places) > 1 or (served.sum(0) != 1).any():
        return None
    channel = np.empty(form.output_shape[0], int)
    start = 0
    for part, own in zip(parts, served, strict=True):
        own_channels = np.arange(part.shape[0]) if part.tables[0] is None else part.tables[0]
        channel[own] = start + own_channels
        start += part.shape[0]
    unchanged = np.array_equal(channel, np.arange(start))
    return parts, (None if unchanged else channel, *parts[0].tables[1:])
