"""Blocked activations."""

from __future__ import annotations

import numpy as np
import pytest

from loopwright.lowering.layout import blocked_shape, channel_block, from_blocked, to_blocked


@pytest.mark.parametrize(
    ("channels", "lanes", "block"), [(64, 16, 16), (48, 16, 16), (10, 16, 10), (3, 16, 3), (34, 16, 2)]
)
def test_block_is_the_largest_divisor(channels: int, lanes: int, block: int) -> None:
    assert channel_block(channels, lanes) == block


def test_blocking_is_undone() -> None:
    images = np.arange(2 * 12 * 3 * 5).reshape(2, 12, 3, 5)
    stored = to_blocked(images, 8)
    assert stored.shape == blocked_shape(2, (12, 3, 5), 8) == (2, 2, 3, 5, 6)
    assert stored[1, 1, 2, 4, 3] == images[1, 9, 2, 4]
    np.testing.assert_array_equal(from_blocked(stored), images)
