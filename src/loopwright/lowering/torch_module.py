"""An operator as a trainable PyTorch module."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod, sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from loopwright.errors import ArgumentError
from loopwright.ir.contraction import OperatorForm
from loopwright.ir.lattice import Point
from loopwright.lowering.assembly import Assembly, assemble, compact_size, source_tables
from loopwright.lowering.axes import channels_first
from loopwright.lowering.dense import DensePlan, dense_plan
from loopwright.lowering.torch_contraction import lower
from loopwright.lowering.torch_dense import DenseConvolutions
from loopwright.lowering.weight_pools import WeightPool, weight_pools


class OperatorModule(nn.Module):
    """(N, C, H, W) to (N, C', H', W') for any N; for other operators their own axes behind the N.

    Parameters: ``weight_0``, ``weight_1``, ... hold the weights of one contraction each, in its ``weight_shape``; those
    that several contractions read are held once, flat. ``bias`` (C',) is added to the completed output. An operator of
    two inputs has no weights: it is called with both.

    On a GPU it runs as `dense_plan` says, if that has a plan: as dense convolutions whose weights have zeros in them.
    """

    bias: nn.Parameter | None

    def __init__(self, form: OperatorForm, weight_shape: Point, bias: bool = False):
        super().__init__()
        self.form, self._inner = form, channels_first(form)
        self._contractions = [
            lower(contraction, self._inner.input_shape, batched=form.two_inputs)
            for contraction in self._inner.contractions
        ]
        self._weight_shape = tuple(weight_shape)
        pools = self._pools()
        self._members = [list(pool.members) for pool in pools]
        for number, pool in enumerate(pools):
            self.register_parameter(f"weight_{number}", nn.Parameter(torch.zeros(pool.elements.shape)))
            for k, places in pool.members.items():  # on the module's device, as a GPU's graph of the pass wants it
                table = None if places is None else torch.from_numpy(np.ascontiguousarray(places))
                self.register_buffer(f"places_{k}", table, persistent=False)
        self.then = None if form.then is None else OperatorModule(form.then, form.then.weight_bounds)
        self.register_parameter("bias", nn.Parameter(torch.zeros(self._channels)) if bias else None)
        self._assembly = assemble(self._inner)
        self._tables = self._register_tables()
        self._dense: dict[torch.device, DenseConvolutions] = {}

    @classmethod
    def from_conv(cls, form: OperatorForm, conv: nn.Conv2d) -> OperatorModule:
        """The module with those weights of ``conv`` that the form still reads, each times the square root of the
        original's fan-in over the new one, so that activations keep their variance (He et al., 2015). Versions of the
        weights begin alike; a projection begins as repeating its channels."""
        module = cls(form, tuple(conv.weight.shape), conv.bias is not None)
        module.to(conv.weight.device, conv.weight.dtype)
        source = conv.weight.detach().reshape(-1)
        with torch.no_grad():
            for number, pool in enumerate(module._pools()):
                gain = sqrt(prod(conv.weight.shape[1:]) / module._fan_in(pool))
                elements = torch.from_numpy(pool.elements).to(source.device)
                module.get_parameter(f"weight_{number}").copy_(source[elements % source.numel()] * gain)
            if module.then is not None:
                module.then._repeat_channels()
            if conv.bias is not None:
                module.get_parameter("bias").copy_(conv.bias)
        return module.train(conv.training)

    @property
    def stands_for_convolution(self) -> bool:
        """Whether it maps images to images; its output is then scored as that of a convolution."""
        return len(self.form.result_shape) == 3 and self.form.channel_axis == 0 and not self.form.two_inputs

    def origins(self) -> dict[str, np.ndarray]:
        """For each weight parameter, the row-major numbers of its elements in the untransformed weight."""
        return {f"weight_{number}": pool.elements for number, pool in enumerate(self._pools())}

    def contraction_weights(self) -> list[Tensor]:
        """The dense weight of every contraction, in the form's order, stage after stage."""
        weights: dict[int, Tensor] = {}
        for number, members in enumerate(self._members):
            stored: Tensor = getattr(self, f"weight_{number}")  # a plain tensor under functional_call
            for k in members:
                places: Tensor | None = getattr(self, f"places_{k}")
                weights[k] = stored if places is None else stored[places]
        later = [] if self.then is None else self.then.contraction_weights()
        return [*(weights[k] for k in range(len(self._contractions))), *later]

    def forward(self, x: Tensor, operand: Tensor | None = None) -> Tensor:
        if (operand is not None) != self.form.two_inputs:
            raise ArgumentError(f"this operator takes {1 + self.form.two_inputs} inputs")
        channel = 1 + self.form.channel_axis
        inner = x.movedim(channel, 1)
        if x.is_cuda and self.dense_plan is not None:
            output = self.dense(inner)
        else:
            own = self.contraction_weights()[: len(self._contractions)] if operand is None else self._elements(operand)
            output = self._stage(inner, own)
        output = output.movedim(1, channel)
        output = output if self.then is None else self.then(output)
        return output if self.bias is None else output + self.bias.view(-1, *[1] * (output.ndim - 1 - channel))

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, as the form has them."""
        return self.form.macs

    @cached_property
    def dense_plan(self) -> DensePlan | None:
        """This module's first stage as dense convolutions, if it can be so run."""
        return dense_plan(self._inner, [] if self.form.two_inputs else self._stored_numbers())

    def dense(self, x: Tensor) -> Tensor:
        """The completed output of all contractions, channels first like ``x``, by the `dense_plan`."""
        if x.device not in self._dense:
            assert self.dense_plan is not None
            self._dense[x.device] = DenseConvolutions(self.dense_plan, x.device)
        stored: list[Tensor] = [getattr(self, f"weight_{number}").flatten() for number in range(len(self._members))]
        return self._dense[x.device](x, stored[0] if len(stored) == 1 else torch.cat(stored))

    def _pools(self) -> tuple[WeightPool, ...]:
        """Found again when they are asked for: their numbers take twice the memory of the weights."""
        return () if self.form.two_inputs else weight_pools(self.form, self._weight_shape)

    def _stored_numbers(self) -> list[np.ndarray]:
        """For each contraction where its dense weight stands among the elements of all pools."""
        numbers, start = {}, 0
        for number, members in enumerate(self._members):
            stored: Tensor = getattr(self, f"weight_{number}")  # a plain tensor under functional_call
            size = stored.numel()
            for k in members:
                places: Tensor | None = getattr(self, f"places_{k}")
                numbers[k] = start + (np.arange(size) if places is None else places.cpu().numpy())
            start += size
        return [numbers[k] for k in range(len(self._contractions))]

    def _stage(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """The completed output of all contractions, channels first like ``x``."""
        results = [run(x, weight) for run, weight in zip(self._contractions, weights, strict=True)]
        return self._gathered(results) if self._assembly is None else self._selected(results, self._assembly)

    @property
    def _channels(self) -> int:
        return self.form.result_shape[self.form.channel_axis]

    def _elements(self, operand: Tensor) -> list[Tensor]:
        """What every contraction reads of a second input, (N, *weight_shape) each."""
        flat = operand.flatten(1)
        numbers = [contraction.weight_indices(self._weight_shape) for contraction in self._inner.contractions]
        return [flat[:, torch.from_numpy(own).to(flat.device)] for own in numbers]

    def _repeat_channels(self) -> None:
        """Sets a projection's weight (output channels, kept channels) so that output ``o`` is kept channel ``o mod
        count``."""
        weight = self.get_parameter("weight_0")
        outputs = torch.arange(self._channels, device=weight.device)
        with torch.no_grad():
            matrix = weight.zero_().view(self._channels, -1)
            matrix[outputs, outputs % matrix.shape[1]] = 1

    def _selected(self, results: Sequence[Tensor], assembly: Assembly) -> Tensor:
        images = [
            result.permute(0, *(1 + axis for axis in image.permutation)).reshape(result.shape[0], *image.shape)
            for result, image in zip(results, assembly.images, strict=True)
        ]
        output = images[0] if len(images) == 1 else torch.cat(images, 1)
        for axis, name in self._tables.items():
            output = output.index_select(1 + axis, self.get_buffer(name))
        return output

    def _gathered(self, results: Sequence[Tensor]) -> Tensor:
        """The sum over the contractions of what each gives to every output; a zero is appended for nothing."""
        outputs = [
            functional.pad(flat, (0, 1)).index_select(1, self.get_buffer(self._tables[number]))
            for number, flat in enumerate(result.reshape(result.shape[0], -1) for result in results)
        ]
        return torch.stack(outputs).sum(0).reshape(-1, *self._inner.output_shape)

    def _register_tables(self) -> dict[int, str]:
        """Buffers, derived from the form and so not saved: for each axis that is selected from, or each contraction."""
        if self._assembly is not None:
            tables = {axis: table for axis, table in enumerate(self._assembly.tables) if table is not None}
        else:
            sizes = [compact_size(contraction) for contraction in self._inner.contractions]
            sources = zip(source_tables(self._inner), sizes, strict=True)
            tables = {k: np.where(table < 0, size, table).ravel() for k, (table, size) in enumerate(sources)}
        for number, table in tables.items():
            self.register_buffer(f"table_{number}", torch.from_numpy(np.ascontiguousarray(table)), persistent=False)
        return {number: f"table_{number}" for number in tables}

    def _fan_in(self, pool: WeightPool) -> int:
        """Products summed into an output that the pool's weights help to make."""
        contractions = self.form.contractions
        together = self._assembly is None
        return sum(c.fan_in for c in contractions) if together else max(contractions[k].fan_in for k in pool.members)

    def extra_repr(self) -> str:
        return f"macs={self.form.macs}, parameters={self.form.parameters}, contractions={len(self.form.contractions)}"
