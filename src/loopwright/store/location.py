"""Where a user's store lies unless they say otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_CACHE_HOME/loopwright/store.sqlite``; the cache folder is ``~/.cache`` where the variable is not set."""
    cache = environment.get("XDG_CACHE_HOME", "")
    folder = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return folder / "loopwright" / "store.sqlite"
