from __future__ import annotations

import subprocess
import sys

import pytest

from loopwright.errors import ArgumentError
from loopwright.search.workers import RayCrew, on_ray


def test_without_the_package_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(on_ray, "find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match=r"^--ray needs the package ray: pip install 'loopwright\[ray\]'$"):
        RayCrew.connect("local")


def test_a_run_never_loads_ray_into_its_own_process():
    code = "import sys, loopwright.api; sys.exit('ray' in sys.modules)"  # all that a run needs
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
