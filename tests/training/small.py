"""Small data sets and networks that train in seconds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = 4
SHAPE = "1,3,8,8"
FACTORY = """
from torch import nn

def small(width=8, classes=4):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.1),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes),
    )

def wide():
    return small(16)

def scoreless():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
"""


def write_split(file: Path, labels: np.ndarray, size: int = 8, seed: int = 0) -> None:
    """Noisy images; the class is the direction and the colour of a slope."""
    rng = np.random.default_rng(seed)
    rows = [{"bytes": _png(_pixels(int(label), size, rng)), "path": None} for label in labels]
    image = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"img": image, "label": pa.array(labels, pa.int64())}), file)


def write_data(folder: Path, train: int = 96, test: int = 40, classes: int = CLASSES, size: int = 8) -> Path:
    """A training and a test set."""
    for number, (split, count) in enumerate((("train", train), ("test", test))):
        write_split(folder / f"{split}.parquet", np.arange(count) % classes, size, number)
    return folder


def write_network(folder: Path) -> str:
    """The module's file; its functions are factories."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "small.py"
    file.write_text(FACTORY)
    return str(file)


def _pixels(label: int, size: int, rng: np.random.Generator) -> np.ndarray:
    slope = np.linspace(0, 150, size)
    plane = np.broadcast_to(slope[:, None] if label % 2 else slope[::-1, None], (size, size))
    pixels = rng.uniform(0, 100, (size, size, 3))
    pixels[..., label // 2] += plane
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()
