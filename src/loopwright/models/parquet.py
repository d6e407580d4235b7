"""Image folders in the Hugging Face layout: Parquet files with a column of encoded images and a column of labels.

Only the rows that are asked for are held: files are opened for their row counts, then single row groups are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loopwright.errors import DataError

IMAGE_COLUMNS = ("img", "image", "images")
LABEL_COLUMNS = ("label", "labels", "fine_label")
HELD_OUT = {"test", "val", "valid", "validation", "dev", "eval"}
LAYOUT = "expected a column 'img' or 'image' of struct{bytes, path} and an integer column 'label'"


@dataclass(frozen=True)
class EncodedImage:
    """One row: a compressed image, its class, and where it stands (for messages)."""

    data: bytes
    label: int
    place: str


@dataclass(frozen=True)
class ImageTable:
    """The rows of several Parquet files, numbered through in the order of the files."""

    files: tuple[Path, ...]
    rows: tuple[int, ...]

    @staticmethod
    def open(files: Sequence[Path]) -> ImageTable:
        """Raises `DataError` where a file is no Parquet file."""
        return ImageTable(tuple(files), tuple(_parquet(file).metadata.num_rows for file in files))

    def __len__(self) -> int:
        return sum(self.rows)

    def labels(self) -> list[int]:
        """The class of every image. Raises `DataError` where there is none, or no column of images."""
        return [label for file in self.files for label in _read_labels(file)]

    def read(self, indices: Iterable[int]) -> list[EncodedImage]:
        """The rows at ``indices``, in that order. Raises `DataError` where a column or an image is missing."""
        wanted = list(indices)
        found: dict[int, EncodedImage] = {}
        start = 0
        for file, count in zip(self.files, self.rows, strict=True):
            local = sorted({index - start for index in wanted if start <= index < start + count})
            found.update((start + row, image) for row, image in _read_rows(file, local))
            start += count
        return [found[index] for index in wanted]


def training_files(folder: Path) -> list[Path]:
    """The Parquet files below ``folder`` whose names say ``train``; without any, those that name no other split.

    Raises `DataError` for a folder that is missing or holds no such file.
    """
    words = _words(folder)
    chosen = [file for file in words if "train" in words[file]]
    chosen = chosen or [file for file in words if not words[file] & HELD_OUT]
    if not chosen:
        raise DataError(f"data folder {folder} holds no training images; expected a file named like train.parquet")
    return chosen


def evaluation_files(folder: Path) -> list[Path]:
    """The Parquet files below ``folder`` whose names say ``test``; without any, those that name another split to
    measure accuracies on. Raises `DataError` as `training_files` does."""
    words = _words(folder)
    chosen = [file for file in words if "test" in words[file]]
    chosen = chosen or [file for file in words if words[file] & HELD_OUT and "train" not in words[file]]
    if not chosen:
        raise DataError(f"data folder {folder} holds no test images; expected a file named like test.parquet")
    return chosen


def _words(folder: Path) -> dict[Path, set[str]]:
    """All Parquet files below ``folder``, with the words in their paths."""
    if not folder.is_dir():
        raise DataError(f"data folder {folder} does not exist; give a folder that holds image Parquet files")
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise DataError(f"data folder {folder} holds no .parquet file; {LAYOUT}")
    return {file: set(re.split(r"[^a-z]+", str(file.relative_to(folder)).lower())) for file in files}


def _parquet(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is not a readable Parquet file: {str(error).splitlines()[0]}") from error


def _read_rows(file: Path, rows: list[int]) -> Iterable[tuple[int, EncodedImage]]:
    parquet = _parquet(file)
    image, label = _columns(file, parquet.schema_arrow)
    start = 0
    for number in range(parquet.num_row_groups):
        count = parquet.metadata.row_group(number).num_rows
        local = [row - start for row in rows if start <= row < start + count]
        if local:
            table = parquet.read_row_group(number, columns=[image, label]).take(local)
            for row, cell, value in zip(local, table[image].to_pylist(), table[label].to_pylist(), strict=True):
                yield start + row, _encoded(cell, value, f"{file}, row {start + row}")
        start += count


def _read_labels(file: Path) -> Iterable[int]:
    parquet = _parquet(file)
    _, column = _columns(file, parquet.schema_arrow)
    for row, label in enumerate(parquet.read(columns=[column])[column].to_pylist()):
        yield _label(label, f"{file}, row {row}")


def _columns(file: Path, schema: pa.Schema) -> tuple[str, str]:
    image = next((name for name in IMAGE_COLUMNS if name in schema.names), None)
    label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    if image is None or not _holds_images(schema.field(image).type):
        raise DataError(f"{file} has no image column (it has {', '.join(schema.names)}); {LAYOUT}")
    if label is None or not pa.types.is_integer(schema.field(label).type):
        raise DataError(f"{file} has no integer label column (it has {', '.join(schema.names)}); {LAYOUT}")
    return image, label


def _holds_images(type_: pa.DataType) -> bool:
    fields = [type_.field(i) for i in range(type_.num_fields)] if pa.types.is_struct(type_) else []
    return any(field.name == "bytes" and _is_binary(field.type) for field in fields)


def _is_binary(type_: pa.DataType) -> bool:
    return pa.types.is_binary(type_) or pa.types.is_large_binary(type_)


def _encoded(cell: dict[str, bytes | None] | None, label: int | None, place: str) -> EncodedImage:
    data = cell["bytes"] if cell else None
    if data is None:
        raise DataError(f"{place} holds no image bytes; images have to be embedded in the Parquet file")
    return EncodedImage(data, _label(label, place), place)


def _label(label: int | None, place: str) -> int:
    if label is None or label < 0:
        raise DataError(f"{place} has no label; images need a class number from 0")
    return label
