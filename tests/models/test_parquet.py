from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loopwright.errors import DataError
from loopwright.models.parquet import ImageTable, training_files
from tests.models.image_files import grey, write_images


def test_rows_of_several_files_are_numbered_through_and_come_in_the_order_asked(tmp_path):
    for shard in range(2):
        rows = [(grey(shard), 10 * shard + row) for row in range(7)]
        write_images(tmp_path / f"train-{shard}.parquet", rows, image="image", label="labels")
    table = ImageTable.open(training_files(tmp_path))
    assert len(table) == 14
    assert [image.label for image in table.read([13, 0, 7, 4, 13])] == [16, 0, 10, 4, 16]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["train-00000-of-00001.parquet", "test-0.parquet"], ["train-00000-of-00001.parquet"]),
        (["data/train/0000.parquet", "data/val/0000.parquet"], ["data/train/0000.parquet"]),
        (["images.parquet", "validation.parquet"], ["images.parquet"]),
    ],
)
def test_training_files_go_by_name(tmp_path, names, chosen):
    for name in names:
        write_images(tmp_path / name, [(grey(0), 0)])
    assert training_files(tmp_path) == [tmp_path / name for name in chosen]


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        training_files(tmp_path / "nowhere")


def test_a_folder_without_parquet_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no \.parquet file; expected a column 'img' or 'image'"):
        training_files(tmp_path)


def test_a_folder_with_test_images_only_is_refused(tmp_path):
    write_images(tmp_path / "test.parquet", [(grey(0), 0)])
    with pytest.raises(DataError, match=r"no training images; expected a file named like train\.parquet"):
        training_files(tmp_path)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"plain text")
    with pytest.raises(DataError, match=r"train\.parquet is not a readable Parquet file"):
        ImageTable.open(training_files(tmp_path))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": [b""], "label": [0]}, r"no image column \(it has picture, label\); expected"),
        ({"img": ["a.png"], "label": [0]}, "no image column"),
        ({"img": [{"bytes": b"", "path": ""}]}, "no integer label column"),
        ({"img": [{"bytes": b"", "path": ""}], "label": ["cat"]}, "no integer label column"),
    ],
)
def test_columns_of_another_layout_are_refused(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=message):
        ImageTable.open(training_files(tmp_path)).read([0])


@pytest.mark.parametrize(
    ("row", "message"),
    [((None, 0), "row 1 holds no image bytes"), ((grey(0), None), "has no label"), ((grey(0), -1), "has no label")],
)
def test_rows_without_image_or_label_are_refused(tmp_path, row, message):
    write_images(tmp_path / "train.parquet", [(grey(0), 0), row])
    with pytest.raises(DataError, match=message):
        ImageTable.open(training_files(tmp_path)).read([1])
