"""The split of the training images, and their augmentation."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from loopwright.errors import DataError
from loopwright.models.images import Normalisation
from loopwright.training.images import Epoch, Images, load, load_whole, normalised

CPU = torch.device("cpu")
SAMPLE = Path("src/loopwright/models/sample")


def test_the_split_is_fixed_and_disjoint() -> None:
    train, held_out = load(SAMPLE, CPU)
    again = load(SAMPLE, CPU)[1]
    assert (len(train), len(held_out)) == (461, 51)
    assert torch.equal(held_out.pixels, again.pixels)
    seen = {image.numpy().tobytes() for image in train.pixels}
    assert not any(image.numpy().tobytes() in seen for image in held_out.pixels)


def drawn(images: Images, cutout: int = 0, seed: int = 0) -> Epoch:
    return Epoch.drawn(images, torch.Generator().manual_seed(seed), cutout)


def grey(count: int) -> Images:
    """Image ``i`` has the class and the grey level ``i``."""
    pixels = torch.arange(count, dtype=torch.uint8).repeat_interleave(32 * 32 * 3).view(count, 32, 32, 3)
    return Images(pixels, torch.arange(count))


def test_augmentation_shuffles_crops_and_flips() -> None:
    images, labels = drawn(grey(64)).batch(0, 64)
    assert images.shape == (64, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert sorted(labels.tolist()) == list(range(64)) != labels.tolist()
    centres = normalised(grey(64))[labels][:, :, 16, 16]
    assert torch.equal(images[:, :, 16, 16], centres)


def test_an_epoch_is_the_same_in_batches_of_any_size() -> None:
    train, _ = load(SAMPLE, CPU, most=50)
    whole, labels = drawn(train, 8).batch(0, 45, torch.float32)
    parts = [drawn(train, 8).batch(start, start + 9, torch.float32) for start in range(0, 45, 9)]
    assert torch.equal(whole, torch.cat([part for part, _ in parts]))
    assert torch.equal(labels, torch.cat([own for _, own in parts]))


def test_every_crop_is_a_part_of_the_padded_image_or_of_its_mirror_image() -> None:
    train, _ = load(SAMPLE, CPU, most=30)
    epoch = drawn(train)
    images, _ = epoch.batch(0, 27, torch.float32)
    zeros = normalised(Images(torch.zeros_like(train.pixels), train.labels, train.normalisation), torch.float32)
    padded = zeros[:1, :, :1, :1].repeat(27, 1, 40, 40)
    padded[:, :, 4:36, 4:36] = normalised(train, torch.float32)[epoch.order]
    mirrored = 0
    for image, source in zip(images, padded, strict=True):
        crops = source.unfold(1, 32, 1).unfold(2, 32, 1).permute(1, 2, 0, 3, 4)
        plain, flipped = ((crops == own).flatten(2).all(2).any() for own in (image, image.flip(2)))
        assert plain or flipped
        mirrored += int(not plain)
    assert 0 < mirrored < 27


def test_a_cutout_is_a_square_of_the_mean() -> None:
    plain, _ = drawn(grey(64)).batch(0, 64, torch.float32)
    cut, _ = drawn(grey(64), 8).batch(0, 64, torch.float32)
    changed = (cut == 0).all(1)
    assert torch.equal(cut.masked_fill(changed[:, None], 0), plain.masked_fill(changed[:, None], 0))
    sizes = changed.flatten(1).sum(1)
    assert sizes.max() == 64
    assert sizes.min() >= 16


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        shutil.copy(SAMPLE / "cifar10-train.parquet", tmp_path / f"{split}.parquet")
    return tmp_path


def test_whole_data_sets_have_test_images_normalised_like_those_to_train_on(folder: Path) -> None:
    train, test = load_whole(folder, CPU, (1, 3, 32, 32))
    assert (len(train), len(test)) == (512, 512)
    assert test.normalisation == train.normalisation == Normalisation.of_pixels(train.pixels.numpy())


def test_images_of_another_size_are_refused_or_resized(folder: Path) -> None:
    with pytest.raises(DataError, match=r"train.parquet, row 0 is 32x32, the network takes 16x16; have images resized"):
        load_whole(folder, CPU, (1, 3, 16, 16))
    with pytest.raises(DataError, match="is 32x32, the network takes 16x16"):
        load(folder, CPU, (1, 3, 16, 16), resize=False)
    assert load_whole(folder, CPU, (1, 3, 16, 16), resize=True)[1].pixels.shape == (512, 16, 16, 3)


def test_a_folder_without_test_images_is_refused(folder: Path) -> None:
    (folder / "test.parquet").unlink()
    with pytest.raises(DataError, match="holds no test images; expected a file named like test.parquet"):
        load_whole(folder, CPU, (1, 3, 32, 32))
