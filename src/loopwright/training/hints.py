"""What the parts of a network put out, beside the same parts of its teacher (Romero et al., "FitNets: Hints for Thin
Deep Nets", 2015)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from loopwright.lowering.settling import operators


def changed_parts(module: nn.Module, teacher: nn.Module) -> tuple[str, ...]:
    """The parts of both networks that have transformed layers as children in ``module``: blocks, in a network that is
    built of blocks. A layer that is a child of the whole network is a part itself."""
    known = {path for path, _ in teacher.named_modules()}
    changed = {path.rpartition(".")[0] or path for path in operators(module)}
    return tuple(path for path, _ in module.named_modules() if path in changed & known)


@contextmanager
def outputs(module: nn.Module, parts: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """What the parts put out inside, by their names; the last of several outputs."""
    found: dict[str, Tensor] = {}

    def keep(path: str) -> Any:
        def hook(_part: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                found[path] = output

        return hook

    with ExitStack() as hooks:
        for path in parts:
            hooks.callback(module.get_submodule(path).register_forward_hook(keep(path)).remove)
        yield found


def distance(own: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """The squared difference of two outputs over the square of the ``wanted`` one, a mean over those of the same shape;
    0 where there are none."""
    parts = [
        (output.float() - wanted[path].float()).square().mean() / wanted[path].float().square().mean()
        for path, output in own.items()
        if path in wanted and wanted[path].shape == output.shape
    ]
    return torch.stack(parts).mean() if parts else torch.zeros(())
