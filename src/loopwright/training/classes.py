"""Whether a network and a data set have the same classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from loopwright.errors import ArgumentError, DataError
from loopwright.models.modes import evaluating
from loopwright.training.images import Images


def class_count(module: nn.Module, input_shape: Sequence[int]) -> int:
    """How many scores the network gives to an image; `ArgumentError` where these are no class scores."""
    with evaluating(module), torch.no_grad():
        scores = module(torch.zeros(tuple(input_shape)))
    shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
    if len(shape) != 2 or isinstance(shape, str):
        raise ArgumentError(f"the network returns {shape}; an accuracy needs class scores of shape (N, classes)")
    return int(shape[1])


def require_known(classes: int, images: Sequence[Images]) -> None:
    """Raises `DataError` for a label that the network has no class for."""
    most = max(int(part.labels.max()) for part in images)
    if most >= classes:
        raise DataError(f"the images have label {most}, the network only {classes} classes")


def require_same(classes: int, train: Images, test: Images) -> None:
    """Raises `DataError` unless there are training images of every class, and test images of no other."""
    require_known(classes, (train, test))
    require_all(classes, train.labels.cpu().numpy(), "training")


def require_all(classes: int, labels: np.ndarray, kind: str) -> None:
    """Raises `DataError` unless the ``labels`` of images of this ``kind`` are those of all classes, and no others."""
    counts = np.bincount(labels, minlength=classes)
    missing = np.flatnonzero(counts == 0)
    if len(counts) > classes:
        raise DataError(f"the {kind} images have label {len(counts) - 1}, the network only {classes} classes")
    if not len(missing):
        return
    if missing[0] == classes - len(missing):
        raise DataError(f"the {kind} images have {missing[0]} classes, the network {classes}; both have to agree")
    raise DataError(f"no {kind} image has label {missing[0]}; the network has classes 0 to {classes - 1}")
