from __future__ import annotations

from pathlib import Path

import pytest

from loopwright.errors import ArgumentError
from loopwright.files import write_atomically


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "page.html"
    write_atomically(path, "first\n")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "second\ud800")
    assert path.read_text() == "first\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_can_t_be_written_to_is_one_line(tmp_path: Path):
    with pytest.raises(ArgumentError, match="can't be written"):
        write_atomically(tmp_path / "nowhere" / "page.html", "")
