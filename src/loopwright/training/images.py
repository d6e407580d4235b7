"""The training images of a data set on one device, split so that no decision is taken on test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from loopwright.errors import DataError
from loopwright.models.images import CIFAR10, Normalisation, decode_pixels
from loopwright.models.parquet import ImageTable, training_files

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
) -> tuple[Images, Images]:
    """Images to train on and images held out, both from the training files of ``folder``; at most ``most`` in all, the
    same ones every time. They are made RGB or grey and resized as ``input_shape`` (N, C, H, W) wants it, and normalised
    by the values of those to train on unless others are given.

    Raises `DataError` where the folder holds too few images or one that does not decode.
    """
    table = ImageTable.open(training_files(folder))
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))[:most]
    if len(order) < LEAST_IMAGES:
        raise DataError(f"{len(order)} training images in {folder} are too few; give at least {LEAST_IMAGES}")
    rows = table.read(order.tolist())
    pixels = np.stack([decode_pixels(row, input_shape) for row in rows])
    labels = np.array([row.label for row in rows])
    held = round(len(order) * HELD_OUT)
    chosen = normalisation or Normalisation.of_pixels(pixels[held:])
    train, held_out = (
        Images(torch.from_numpy(pixels[own]).to(device), torch.from_numpy(labels[own]).to(device), chosen)
        for own in (slice(held, None), slice(held))
    )
    return train, held_out


def normalised(images: Images, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """(N, H, W, channels) uint8 to (N, channels, H, W) of ``dtype``, channels last in memory."""
    device = images.pixels.device
    mean, std = (
        torch.tensor(values, device=device) * 255 for values in (images.normalisation.mean, images.normalisation.std)
    )
    return ((images.pixels - mean) / std).to(dtype).permute(0, 3, 1, 2)


def augmented(images: Images, generator: torch.Generator, dtype: torch.dtype = torch.bfloat16) -> tuple[Tensor, Tensor]:
    """All images in a random order, cropped at random after padding and flipped at random, normalised; labels."""
    count, height, width, _ = images.pixels.shape
    device, pad = images.pixels.device, round(height * PADDING)

    def drawn(high: int) -> Tensor:
        return torch.randint(high, (count, 1), generator=generator, device=device)

    padded = functional.pad(images.pixels, (0, 0, pad, pad, pad, pad))
    order = torch.randperm(count, generator=generator, device=device)
    rows = drawn(2 * pad + 1) + torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    columns = drawn(2 * pad + 1) + torch.where(drawn(2) > 0, columns, columns.flip(0))
    pixels = padded[order[:, None, None], rows[:, :, None], columns[:, None, :]]
    shuffled = Images(pixels, images.labels[order], images.normalisation)
    return normalised(shuffled, dtype), shuffled.labels
