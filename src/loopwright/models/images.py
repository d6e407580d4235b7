"""The fixed minibatch of training images on which candidates are judged."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from PIL import Image

from loopwright.errors import ArgumentError, DataError
from loopwright.models.parquet import EncodedImage, ImageTable, training_files

MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, for pixel values from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @staticmethod
    def of(pixels: np.ndarray) -> Normalisation:
        """Measured on ``pixels`` (N, C, H, W); a constant channel counts as one grey level of spread."""
        std = np.maximum(pixels.std((0, 2, 3), dtype=np.float64), 1 / 255)
        return Normalisation(tuple(pixels.mean((0, 2, 3), dtype=np.float64).tolist()), tuple(std.tolist()))

    @staticmethod
    def of_pixels(pixels: np.ndarray) -> Normalisation:
        """Measured on ``pixels`` (N, H, W, C) uint8, by their counts, so that no copy of them is made."""
        levels = np.arange(256) / 255
        shares = [
            np.bincount(pixels[..., c].ravel(), minlength=256) / pixels[..., c].size for c in range(pixels.shape[3])
        ]
        means = [float(share @ levels) for share in shares]
        spreads = [float(np.sqrt(share @ (levels - mean) ** 2)) for share, mean in zip(shares, means, strict=True)]
        return Normalisation(tuple(means), tuple(max(spread, 1 / 255) for spread in spreads))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Normalised copy of ``pixels`` (N, C, H, W), float32."""
        mean, std = (np.array(values, np.float32).reshape(1, -1, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std


CIFAR10 = Normalisation((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


@dataclass(frozen=True, eq=False)
class Minibatch:
    """Normalised ``images`` (N, C, H, W) float32 with ``labels`` (N,) int64; ``fingerprint`` is the SHA-256 of both."""

    images: np.ndarray
    labels: np.ndarray
    source: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.labels)

    @staticmethod
    def of(images: np.ndarray, labels: np.ndarray, source: str) -> Minibatch:
        """With the fingerprint of these images and labels."""
        images, labels = np.ascontiguousarray(images, np.float32), np.ascontiguousarray(labels, np.int64)
        digest = hashlib.sha256(repr(images.shape).encode() + images.tobytes() + labels.tobytes())
        return Minibatch(images, labels, source, digest.hexdigest())

    def first(self, count: int) -> Minibatch:
        """The first ``count`` images."""
        return Minibatch.of(self.images[:count], self.labels[:count], f"first {count} of: {self.source}")

    def part(self, start: int, stop: int) -> Minibatch:
        """The images from ``start`` up to ``stop``, counted from 0."""
        images, labels = self.images[start:stop], self.labels[start:stop]
        return Minibatch.of(images, labels, f"images {start} to {stop - 1} of: {self.source}")


def load_minibatch(
    folder: Path | str | None,
    size: int,
    seed: int,
    input_shape: Sequence[int],
    normalisation: Normalisation | None = None,
) -> Minibatch:
    """``size`` training images drawn with ``seed`` from ``folder``; without one, from the packaged CIFAR-10 sample.

    Images become RGB (grey for a network with one input channel), are resized to ``input_shape`` (N, C, H, W) where
    they differ, and normalised; by default with CIFAR-10's published values for the packaged sample, with the values of
    the drawn images otherwise. Raises `DataError` (missing folder, no images, too few, undecodable) or `ArgumentError`.
    """
    if size < 1:
        raise ArgumentError(f"a minibatch needs at least 1 image, not {size}")
    if folder is not None:
        table = ImageTable.open(training_files(Path(folder)))
        return _draw(table, f"training images in {folder}", size, seed, input_shape, normalisation)
    with as_file(files("loopwright.models") / "sample" / "cifar10-train.parquet") as sample:
        table = ImageTable.open([sample])
        return _draw(table, "packaged CIFAR-10 training images", size, seed, input_shape, normalisation or CIFAR10)


def _draw(
    table: ImageTable,
    source: str,
    size: int,
    seed: int,
    input_shape: Sequence[int],
    normalisation: Normalisation | None,
) -> Minibatch:
    if len(table) < size:
        raise DataError(f"{size} images are asked for but there are only {len(table)} {source}; ask for fewer")
    rows = table.read(np.random.default_rng(seed).permutation(len(table))[:size].tolist())
    pixels = np.stack([decode(row, input_shape) for row in rows])
    images = (normalisation or Normalisation.of(pixels))(pixels)
    labels = np.array([row.label for row in rows])
    return Minibatch.of(images, labels, f"{size} of {len(table)} {source}, seed {seed}")


def decode(row: EncodedImage, input_shape: Sequence[int]) -> np.ndarray:
    """Pixels (C, H, W) of one image, float32 from 0 to 1, at the size and channel count of ``input_shape``; errors as
    `decode_pixels` raises them."""
    return decode_pixels(row, input_shape).astype(np.float32).transpose(2, 0, 1) / 255


def decode_pixels(row: EncodedImage, input_shape: Sequence[int]) -> np.ndarray:
    """Pixels (H, W, C) of one image, uint8, at the size and channel count of ``input_shape`` (N, C, H, W).

    Raises `DataError` for an image that cannot be decoded, `ArgumentError` for an input that is no image.
    """
    channels, height, width = _image_shape(input_shape)
    try:
        with Image.open(io.BytesIO(row.data)) as encoded:
            image = encoded.convert(MODES[channels])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{row.place} does not decode as an image (JPEG, PNG, WebP, ...): {error}") from error
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels)


def _image_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(input_shape) != 4 or input_shape[1] not in MODES:
        shape = ",".join(map(str, input_shape))
        raise ArgumentError(f"images do not fit the input {shape}; expected N,C,H,W with 1 or 3 channels")
    return input_shape[1], input_shape[2], input_shape[3]
