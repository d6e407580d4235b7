"""The training images of a data set on one device, split so that no decision is taken on test images."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from loopwright.models.images import CIFAR10
from loopwright.models.parquet import EncodedImage, ImageTable, training_files

SPLIT_SEED = 0
HELD_OUT = 1 / 10
"""The share of the training images that accuracies are measured on."""
PADDING = 4


@dataclass(frozen=True, eq=False)
class Images:
    """``pixels`` (N, H, W, 3) uint8 and ``labels`` (N,) int64."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def load(folder: Path, device: torch.device, most: int | None = None) -> tuple[Images, Images]:
    """Images to train on and images held out, both from the training files of ``folder``; at most ``most`` in all."""
    table = ImageTable.open(training_files(folder))
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))[:most]
    rows = table.read(range(len(table)))
    pixels = np.stack([_decoded(row) for row in rows])
    labels = np.array([row.label for row in rows])
    held = round(len(order) * HELD_OUT)
    train, test = (
        Images(torch.from_numpy(pixels[own]).to(device), torch.from_numpy(labels[own]).to(device))
        for own in (order[held:], order[:held])
    )
    return train, test


def _decoded(row: EncodedImage) -> np.ndarray:
    with Image.open(io.BytesIO(row.data)) as image:
        return np.asarray(image.convert("RGB"))


def normalised(pixels: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) bfloat16, channels last in memory."""
    mean, std = (torch.tensor(values, device=pixels.device) * 255 for values in (CIFAR10.mean, CIFAR10.std))
    return ((pixels - mean) / std).to(torch.bfloat16).permute(0, 3, 1, 2)


def augmented(images: Images, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """All images in a random order, cropped at random after padding by 4 and flipped at random, normalised; labels."""
    count, height, width, _ = images.pixels.shape
    device = images.pixels.device

    def drawn(high: int) -> Tensor:
        return torch.randint(high, (count, 1), generator=generator, device=device)

    padded = functional.pad(images.pixels, (0, 0, PADDING, PADDING, PADDING, PADDING))
    order = torch.randperm(count, generator=generator, device=device)
    rows = drawn(2 * PADDING + 1) + torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    columns = drawn(2 * PADDING + 1) + torch.where(drawn(2) > 0, columns, columns.flip(0))
    pixels = padded[order[:, None, None], rows[:, :, None], columns[:, None, :]]
    return normalised(pixels), images.labels[order]
