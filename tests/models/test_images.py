from __future__ import annotations

import numpy as np
import pytest

from loopwright.errors import ArgumentError, DataError
from loopwright.models.images import CIFAR10, Normalisation, load_minibatch
from tests.models.image_files import grey, png, write_images

INPUT = (1, 3, 32, 32)


def test_the_packaged_sample_is_balanced_and_normalised():
    minibatch = load_minibatch(None, 512, 0, INPUT)
    assert minibatch.images.shape == (512, 3, 32, 32)
    assert (minibatch.images.dtype, minibatch.labels.dtype) == (np.float32, np.int64)
    assert set(np.bincount(minibatch.labels)) <= {51, 52}
    assert np.allclose(minibatch.images.mean((0, 2, 3)), 0, atol=0.1)
    assert np.allclose(minibatch.images.std((0, 2, 3)), 1, atol=0.1)


def test_a_minibatch_is_fixed_by_its_seed():
    first, again, other = (load_minibatch(None, 8, seed, INPUT) for seed in (1, 1, 2))
    assert np.array_equal(first.images, again.images)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.source == "8 of 512 packaged CIFAR-10 training images, seed 1"


def test_a_smaller_minibatch_is_the_beginning_of_a_larger_one():
    small, large = (load_minibatch(None, size, 0, INPUT) for size in (4, 16))
    assert np.array_equal(small.images, large.images[:4])


def test_pixels_are_exact_without_resizing(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    write_images(tmp_path / "train.parquet", [(png(pixels), 3)])
    unit = Normalisation((0.0,) * 3, (1 / 255,) * 3)
    minibatch = load_minibatch(tmp_path, 1, 0, (1, 3, 4, 5), unit)
    assert np.allclose(minibatch.images[0], pixels.transpose(2, 0, 1), atol=1e-4)
    assert minibatch.labels.tolist() == [3]


def test_images_are_resized_and_made_grey_for_the_network(tmp_path):
    write_images(tmp_path / "train.parquet", [(grey(value, side), 0) for value, side in ((0, 4), (255, 9))])
    minibatch = load_minibatch(tmp_path, 2, 0, (1, 1, 6, 6))
    assert minibatch.images.shape == (2, 1, 6, 6)
    assert np.allclose(sorted(minibatch.images.mean((1, 2, 3))), [-1, 1])


def test_one_colour_does_not_divide_by_zero(tmp_path):
    write_images(tmp_path / "train.parquet", [(grey(7), 0)] * 2)
    assert np.isfinite(load_minibatch(tmp_path, 2, 0, INPUT).images).all()


def test_an_undecodable_image_is_refused_with_its_place(tmp_path):
    write_images(tmp_path / "train.parquet", [(b"no image", 0)])
    with pytest.raises(DataError, match=r"train\.parquet, row 0 does not decode as an image \(JPEG, PNG"):
        load_minibatch(tmp_path, 1, 0, INPUT)


def test_a_truncated_image_is_refused(tmp_path):
    noise = png(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    write_images(tmp_path / "train.parquet", [(noise[: len(noise) // 2], 0)])
    with pytest.raises(DataError, match="does not decode"):
        load_minibatch(tmp_path, 1, 0, INPUT)


def test_too_few_images_are_refused():
    with pytest.raises(DataError, match="600 images are asked for but there are only 512"):
        load_minibatch(None, 600, 0, INPUT)


@pytest.mark.parametrize("shape", [(1, 3, 32), (1, 7, 32, 32)])
def test_inputs_that_are_no_images_are_refused(shape):
    with pytest.raises(ArgumentError, match="expected N,C,H,W with 1 or 3 channels"):
        load_minibatch(None, 1, 0, shape)


def test_an_empty_minibatch_is_refused():
    with pytest.raises(ArgumentError, match="at least 1 image"):
        load_minibatch(None, 0, 0, INPUT)


def test_published_statistics():
    assert CIFAR10(np.full((1, 3, 1, 1), 0.4914, np.float32))[0, 0, 0, 0] == pytest.approx(0, abs=1e-6)
