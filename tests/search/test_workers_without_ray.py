from __future__ import annotations

import sys

import pytest

from loopwright.errors import ArgumentError
from loopwright.search.workers import RayCrew, on_ray


def test_without_the_package_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(on_ray, "find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match=r"^--ray needs the package ray: pip install 'loopwright\[ray\]'$"):
        RayCrew.connect("local")


def test_a_run_never_loads_ray_into_its_own_process():
    import loopwright.api  # noqa: F401 - all that a run needs

    assert "ray" not in sys.modules
