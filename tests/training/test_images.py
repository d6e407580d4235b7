"""The split of the training images, and their augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from loopwright.errors import DataError
from loopwright.models.images import Normalisation
from loopwright.training.images import Images, augmented, load, normalised

CPU = torch.device("cpu")
SAMPLE = Path("src/loopwright/models/sample")


def test_the_split_is_fixed_and_disjoint() -> None:
    train, held_out = load(SAMPLE, CPU)
    again = load(SAMPLE, CPU)[1]
    assert (len(train), len(held_out)) == (461, 51)
    assert torch.equal(held_out.pixels, again.pixels)
    seen = {image.numpy().tobytes() for image in train.pixels}
    assert not any(image.numpy().tobytes() in seen for image in held_out.pixels)


def test_augmentation_shuffles_crops_and_flips() -> None:
    pixels = torch.arange(64, dtype=torch.uint8).repeat_interleave(32 * 32 * 3).view(64, 32, 32, 3)
    images, labels = augmented(Images(pixels, torch.arange(64)), torch.Generator().manual_seed(0))
    assert images.shape == (64, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert sorted(labels.tolist()) == list(range(64)) != labels.tolist()
    centres = normalised(Images(pixels, labels))[labels][:, :, 16, 16]
    assert torch.equal(images[:, :, 16, 16], centres)


def test_images_take_the_size_and_the_channels_of_the_input() -> None:
    train, held_out = load(SAMPLE, CPU, (1, 1, 16, 16), 100)
    assert train.pixels.shape == (90, 16, 16, 1)
    assert held_out.pixels.shape == (10, 16, 16, 1)
    values = normalised(train, torch.float32)
    assert values.shape == (90, 1, 16, 16)
    assert float(values.mean()) == pytest.approx(0, abs=1e-4)
    assert float(values.std()) == pytest.approx(1, abs=1e-3)


def test_a_normalisation_is_the_same_from_bytes_as_from_numbers() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)
    pixels[..., 2] = 7
    by_bytes, by_numbers = Normalisation.of_pixels(pixels), Normalisation.of(pixels.transpose(0, 3, 1, 2) / 255)
    assert by_bytes.mean == pytest.approx(by_numbers.mean)
    assert by_bytes.std == pytest.approx(by_numbers.std)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DataError, match="5 training images in .* are too few; give at least 20"):
        load(SAMPLE, CPU, most=5)
