from __future__ import annotations

from pathlib import Path

import pytest

from loopwright.errors import ArgumentError, DataError
from loopwright.reproduction.nasbench201 import TrainedCell, drawn, read_table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "accuracy.csv"


def test_a_table_is_read(path: Path):
    path.write_text("index,arch,cifar10_test\n0,a,93.5\n1,b,10\n")
    assert read_table(path) == [TrainedCell("a", 93.5), TrainedCell("b", 10.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file .*accuracy.csv; it should be a CSV file with columns arch and cifar10_test"),
        ("arch,accuracy\na,1\n", "has columns arch, accuracy; needed: arch, cifar10_test"),
        ("arch,cifar10_test\na,much\n", "line 2: could not convert string to float: 'much'"),
        ("arch,cifar10_test\na\n", "line 2: "),
        ("arch,cifar10_test\n", "holds no cells"),
    ],
)
def test_unusable_tables_are_refused(path: Path, text: str | None, message: str):
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(path)


def test_fewer_cells_are_a_part_of_more():
    table = [TrainedCell(str(number), number) for number in range(50)]
    assert drawn(table, 10, 3) == drawn(table, None, 3)[:10]
    assert sorted(drawn(table, None, 3), key=lambda cell: cell.accuracy) == table
    assert drawn(table, 10, 4) != drawn(table, 10, 3)
    with pytest.raises(ArgumentError, match="51 cells are asked for; there are 50"):
        drawn(table, 51, 0)
