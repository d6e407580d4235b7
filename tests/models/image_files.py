"""Parquet files of generated images for tests."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_images(
    file: Path, rows: list[tuple[bytes | None, int | None]], image: str = "img", label: str = "label"
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": data, "path": None} for data, _ in rows]
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {image: pa.array(cells, image_type), label: pa.array([value for _, value in rows], pa.int64())}
    pq.write_table(pa.table(columns), file, row_group_size=3)


def grey(value: int, side: int = 4) -> bytes:
    return png(np.full((side, side, 3), value, np.uint8))
