"""Which arguments of a command were given."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from loopwright.errors import ArgumentError


def require_nothing_beside_resume(context: typer.Context, allowed: Sequence[str]) -> None:
    """Raises ArgumentError for arguments beside --resume that are kept from the start; ``allowed`` are names of
    options."""
    fields = {name.replace("-", "_") for name in ("resume", *allowed)}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE" and parameter.name not in fields:
            name = next((own for own in parameter.opts if own.startswith("--")), "MODEL")
            raise ArgumentError(f"--resume goes on with what the run was given; leave out {name}")
