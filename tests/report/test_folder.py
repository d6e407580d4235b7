from __future__ import annotations

from pathlib import Path

import pytest

from loopwright.errors import ArgumentError, StoreError
from loopwright.report.folder import read_run
from loopwright.report.page import write_report
from tests.report.example import example_run


def test_a_run_is_read(tmp_path: Path):
    write_report(example_run(), tmp_path)
    assert read_run(tmp_path) == example_run()


def test_what_is_no_finished_run_is_refused(tmp_path: Path):
    with pytest.raises(ArgumentError, match="there is no folder .*nowhere"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="holds no run; name a folder that optimize was given as --out"):
        read_run(tmp_path)
    (tmp_path / "network.json").write_text("{}")
    with pytest.raises(ArgumentError, match=r"is not finished, it has no summary.json; optimize again"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format": 2', "not the summary of a run"),
        (b'{"format": 9}', "format 9, this Loopwright knows 2; upgrade"),
        (b"\xff\xfe", "can't be read"),
    ],
)
def test_a_summary_that_can_t_be_used_is_refused_with_its_path(content: bytes, message: str, tmp_path: Path):
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(StoreError, match=f"summary.json.*{message}"):
        read_run(tmp_path)
