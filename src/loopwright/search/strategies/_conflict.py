"""Which layers together lose the receptive field."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from loopwright.search.space import Choice

Choices = Mapping[str, Choice]


def conflict(choices: Choices, kept: Callable[[Choices], bool]) -> dict[str, Choice]:
    """A part of ``choices``, which do not keep the structure: with all others untouched it still does not, and without
    any one of its layers it does (QuickXplain; Junker, AAAI 2004)."""

    def explain(background: dict[str, Choice], changed: bool, layers: list[str]) -> list[str]:
        if changed and not kept(background):
            return []
        if len(layers) == 1:
            return layers
        first, second = layers[: len(layers) // 2], layers[len(layers) // 2 :]
        needed = explain(background | _part(choices, first), bool(first), second)
        return needed + explain(background | _part(choices, needed), bool(needed), first)

    return _part(choices, explain({}, False, list(choices)))


def _part(choices: Choices, layers: list[str]) -> dict[str, Choice]:
    return {layer: choices[layer] for layer in layers}
