"""Whether a network and a data set have the same classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from loopwright.errors import ArgumentError, DataError
from loopwright.training.images import Images


def class_count(module: nn.Module, input_shape: Sequence[int]) -> int:
    """How many scores the network gives to an image; `ArgumentError` where these are no class scores."""
    modes = {child: child.training for child in module.modules()}
    try:
        with torch.no_grad():
            scores = module.eval()(torch.zeros(tuple(input_shape)))
    finally:
        for child, training in modes.items():
            child.training = training
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
    counts = torch.bincount(train.labels.cpu(), minlength=classes)
    missing = (counts == 0).nonzero().flatten().tolist()
    if not missing:
        return
    if missing[0] == classes - len(missing):
        raise DataError(f"the training images have {missing[0]} classes, the network {classes}; both have to agree")
    raise DataError(f"no training image has label {missing[0]}; the network has classes 0 to {classes - 1}")
