from __future__ import annotations

import re

from plotly.offline import get_plotlyjs_version

from loopwright.report.plotly_js import cartesian


def test_the_script_suits_the_package_that_writes_figures():
    version = re.search(r"plotly\.js \(cartesian - minified\) v(\d+)\.", cartesian()[:200])[1]
    assert version == get_plotlyjs_version().split(".")[0]


def test_the_script_ends_no_script_element():
    assert "</script" not in cartesian().lower()
