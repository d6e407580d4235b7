"""Blocked activations: logical (N, C, H, W) stored as (N, C / block, H, W, block), and how a channel is addressed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loopwright.ir.affine import Affine

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Blocks:
    """The most channels that lie side by side in a kernel's input and output. With 1 an image is stored as
    (N, C, H, W), with all of its channels as (N, H, W, C)."""

    input: int
    output: int


@dataclass(frozen=True)
class Channels:
    """Some channels of an image that has ``whole`` of them, from number ``first`` on."""

    whole: int
    first: int = 0


def channel_block(channels: int, lanes: int) -> int:
    """The largest divisor of ``channels`` that is at most ``lanes``."""
    return max(block for block in range(1, min(channels, lanes) + 1) if channels % block == 0)


def blocked_shape(n: int, shape: Shape, lanes: int) -> Shape:
    """Stored shape of ``n`` images of logical ``shape`` (channels, rows, columns)."""
    channels, rows, columns = shape
    block = channel_block(channels, lanes)
    return (n, channels // block, rows, columns, block)


def to_blocked(images: np.ndarray, lanes: int) -> np.ndarray:
    """(N, C, H, W) to its stored form."""
    n, channels, rows, columns = images.shape
    block = channel_block(channels, lanes)
    return np.ascontiguousarray(images.reshape(n, channels // block, block, rows, columns).transpose(0, 1, 3, 4, 2))


def from_blocked(stored: np.ndarray) -> np.ndarray:
    """The stored form back to (N, C, H, W)."""
    n, blocks, rows, columns, block = stored.shape
    return np.ascontiguousarray(stored.transpose(0, 1, 4, 2, 3).reshape(n, blocks * block, rows, columns))


def blocked_channel(channel: Affine, block: int, extents: dict[str, int]) -> tuple[Affine, Affine]:
    """A channel as (block number, place in the block), simplified for variables that stay below ``extents``."""
    return (channel // block).simplify(extents), (channel % block).simplify(extents)
