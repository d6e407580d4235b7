"""The images of a data set on one device: split so that no decision is taken on test images, and augmented there."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from loopwright.errors import DataError
from loopwright.models.images import CIFAR10, Normalisation, decode_pixels
from loopwright.models.parquet import EncodedImage, ImageTable, evaluation_files, training_files

SPLIT_SEED = 0
HELD_OUT = 1 / 10
"""The share of the training images that accuracies are measured on."""
PADDING = 1 / 8
"""By how much of their height images are padded before they are cropped at random; 4 pixels of 32."""
LEAST_IMAGES = 20


@dataclass(frozen=True, eq=False)
class Images:
    """``pixels`` (N, H, W, channels) uint8 and ``labels`` (N,) int64; ``normalisation`` is for values from 0 to 1."""

    pixels: Tensor
    labels: Tensor
    normalisation: Normalisation = CIFAR10

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, start: int, stop: int) -> Images:
        """The images from ``start`` up to ``stop``, counted from 0."""
        return Images(self.pixels[start:stop], self.labels[start:stop], self.normalisation)

    def normalise(self, pixels: Tensor, dtype: torch.dtype) -> Tensor:
        """Some of these images, (N, H, W, channels) uint8, as (N, channels, H, W) of ``dtype``, channels last in
        memory."""
        mean, std = self._levels
        return ((pixels - mean) / std).to(dtype).permute(0, 3, 1, 2)

    @cached_property
    def _levels(self) -> tuple[Tensor, Tensor]:
        """Mean and spread of the bytes, on the device once for all batches."""
        mean, std = (
            torch.tensor(values, device=self.pixels.device) * 255
            for values in (self.normalisation.mean, self.normalisation.std)
        )
        return mean, std

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of pixels and labels."""
        digest = sha256(repr(tuple(self.pixels.shape)).encode())
        for tensor in (self.pixels, self.labels):
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def load(
    folder: Path,
    device: torch.device,
    input_shape: Sequence[int] = (1, 3, 32, 32),
    most: int | None = None,
    normalisation: Normalisation | None = None,
    *,
    resize: bool = True,
) -> tuple[Images, Images]:
    """Images to train on and images held out, both from the training files of ``folder``; at most ``most`` in all, the
    same ones every time. They are made RGB or grey and resized as ``input_shape`` (N, C, H, W) wants it, and normalised
    by the values of those to train on unless others are given.

    Raises `DataError` where the folder holds too few images or one that does not decode, and without ``resize`` where
    one has another size.
    """
    table = ImageTable.open(training_files(folder))
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))[:most]
    if len(order) < LEAST_IMAGES:
        raise DataError(f"{len(order)} training images in {folder} are too few; give at least {LEAST_IMAGES}")
    pixels, labels = decoded_rows(table.read(order.tolist()), input_shape, resize)
    held = round(len(order) * HELD_OUT)
    chosen = normalisation or Normalisation.of_pixels(pixels[held:])
    train, held_out = (
        Images(torch.from_numpy(pixels[own]).to(device), torch.from_numpy(labels[own]).to(device), chosen)
        for own in (slice(held, None), slice(held))
    )
    return train, held_out


def load_whole(
    folder: Path, device: torch.device, input_shape: Sequence[int], *, resize: bool = False
) -> tuple[Images, Images]:
    """All training images of ``folder`` and all test images, both normalised by the values of the training images.

    Raises `DataError` as `load` does, and where there are no test images.
    """
    tables = [ImageTable.open(files(folder)) for files in (training_files, evaluation_files)]
    if len(tables[0]) < LEAST_IMAGES:
        raise DataError(f"{len(tables[0])} training images in {folder} are too few; give at least {LEAST_IMAGES}")
    if not len(tables[1]):
        raise DataError(f"the test files in {folder} hold no images")
    decoded = [decoded_rows(table.read(range(len(table))), input_shape, resize) for table in tables]
    chosen = Normalisation.of_pixels(decoded[0][0])
    train, test = (
        Images(torch.from_numpy(pixels).to(device), torch.from_numpy(labels).to(device), chosen)
        for pixels, labels in decoded
    )
    return train, test


def normalised(images: Images, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """All of them, as `Images.normalise` makes them."""
    return images.normalise(images.pixels, dtype)


@dataclass(frozen=True, eq=False)
class Epoch:
    """All images once in a random order, each padded, cropped at ``rows`` and ``columns`` (N, height or width), which
    flip half of them; with a square ``cutout`` around each of ``centres`` (N, 2). Made batch by batch."""

    images: Images
    order: Tensor
    rows: Tensor
    columns: Tensor
    cutout: int = 0
    centres: Tensor | None = None

    @classmethod
    def drawn(cls, images: Images, generator: torch.Generator, cutout: int = 0) -> Epoch:
        """Everything random of it is drawn here, on the images' device."""
        count, height, width, _ = images.pixels.shape
        device, pad = images.pixels.device, _padding(height)

        def drawn(high: int) -> Tensor:
            return torch.randint(high, (count, 1), generator=generator, device=device)

        order = torch.randperm(count, generator=generator, device=device)
        rows = drawn(2 * pad + 1) + torch.arange(height, device=device)
        columns = torch.arange(width, device=device)
        columns = drawn(2 * pad + 1) + torch.where(drawn(2) > 0, columns, columns.flip(0))
        centres = torch.cat([drawn(height), drawn(width)], 1) if cutout else None
        return cls(images, order, rows, columns, cutout, centres)

    def batch(self, start: int, stop: int, dtype: torch.dtype = torch.bfloat16) -> tuple[Tensor, Tensor]:
        """The images from ``start`` up to ``stop`` in this epoch's order, normalised, and their labels."""
        chosen, own = self.order[start:stop], slice(start, stop)
        pad = _padding(self.images.pixels.shape[1])
        padded = functional.pad(self.images.pixels[chosen], (0, 0, pad, pad, pad, pad))
        numbers = torch.arange(len(chosen), device=chosen.device)
        pixels = padded[numbers[:, None, None], self.rows[own, :, None], self.columns[own, None, :]]
        values = self.images.normalise(pixels, dtype)
        if self.centres is not None:
            rows, columns = (
                _near(size, centre, self.cutout)
                for size, centre in zip(pixels.shape[1:3], self.centres[own].T, strict=True)
            )
            values = values.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)
        return values, self.images.labels[chosen]


def _padding(height: int) -> int:
    return round(height * PADDING)


def _near(size: int, centres: Tensor, width: int) -> Tensor:
    """(N, size): which positions are in the ``width`` around each centre."""
    offset = torch.arange(size, device=centres.device) - (centres[:, None] - width // 2)
    return (offset >= 0) & (offset < width)


def decoded_rows(
    rows: Sequence[EncodedImage], input_shape: Sequence[int], resize: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, H, W, channels) uint8 and labels; `DataError` as of `load`."""
    if not resize:
        for row in rows:
            _require_size(row, input_shape)
    pixels = np.stack([decode_pixels(row, input_shape) for row in rows])
    return pixels, np.array([row.label for row in rows])


def _require_size(row: EncodedImage, input_shape: Sequence[int]) -> None:
    try:
        with Image.open(io.BytesIO(row.data)) as image:
            width, height = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return  # decoding says what is wrong
    if [height, width] != list(input_shape[2:]):
        wanted = "x".join(map(str, input_shape[2:]))
        raise DataError(f"{row.place} is {height}x{width}, the network takes {wanted}; have images resized (--resize)")
