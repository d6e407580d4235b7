"""SynFlow: Tanaka et al. (NeurIPS 2020), the synaptic flow of equation 2, summed over the network.

With all parameters replaced by their absolute values and an image of ones as input, let R be the sum of the outputs.
The score is the logarithm of the sum over all weights w of |w * dR/dw|.

Batch norms are left out (they pass on what they get): the flow is that of the weights alone, and no statistics are to
be had of one image. The flow grows by a factor with each layer; it is computed in float64, and the logarithm, which
keeps the order, makes scores of deep networks comparable. No path from input to output is a flow of 0, a score of
minus infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf, log
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from loopwright.legality.proxies._base import Proxy
from loopwright.legality.proxies._passes import buffers, class_scores, constants, gradients, scoring, tensors, weights
from loopwright.models.images import Minibatch


class SynFlow(Proxy):
    """The logarithm of the total synaptic flow; of the minibatch it takes the images' shape alone."""

    name: ClassVar[str] = "synflow"
    title: ClassVar[str] = "SynFlow"
    paper: ClassVar[str] = (
        "Tanaka, Kunin, Yamins, Ganguli: Pruning neural networks without any data by iteratively conserving synaptic "
        "flow (NeurIPS 2020), equation 2; summed as by Abdelfattah et al. (ICLR 2021), section 3.2; its logarithm"
    )

    def score(self, module: nn.Module, minibatch: Minibatch) -> float:
        images, _ = tensors(module, minibatch, self.title)
        parameters = {name: parameter.double().abs() for name, parameter in constants(module).items()}
        leaves = {name: parameters[name].requires_grad_() for name in weights(module)}
        held = {name: _double(buffer) for name, buffer in buffers(module).items()}
        ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=images.device)
        with scoring(module, batch_statistics=False), _WithoutBatchNorm():
            outputs = functional_call(module, {**parameters, **held}, (ones,))
            found = gradients(class_scores(outputs, self.title).sum(), leaves)
        flow = sum((leaf.detach() * found[name]).abs().sum().item() for name, leaf in leaves.items())
        return log(flow) if flow > 0 else -inf if flow == 0 else flow


class _WithoutBatchNorm(TorchFunctionMode):
    """Inside, batch norms give what they get."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is functional.batch_norm:
            return args[0]
        return function(*args, **(kwargs or {}))


def _double(buffer: Tensor) -> Tensor:
    return buffer.double() if buffer.is_floating_point() else buffer
