"""Residual networks for 32x32 images: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), Table 1.

The CIFAR variant used in the literature since: a 3x3 stem with stride 1 and no max pooling in place of the 7x7 stem,
projections (option B: 1x1 convolution and batch norm) where a residual block changes shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from loopwright.models.sources import ModelSource

STAGE_WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut: (N, ci, H, W) -> (N, co, H/stride, W/stride)."""

    def __init__(self, ci: int, co: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(ci, co, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(co)
        self.conv2 = nn.Conv2d(co, co, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(co)
        self.shortcut = shortcut(ci, co, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies both convolutions and adds the shortcut."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, four stages of residual blocks, global average pooling, classifier: (N, 3, 32, 32) -> (N, classes)."""

    def __init__(self, blocks: Sequence[int], classes: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, STAGE_WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGE_WIDTHS[0])
        inputs = (STAGE_WIDTHS[0], *STAGE_WIDTHS[:-1])
        strides = (1, 2, 2, 2)
        self.stages = nn.Sequential(*map(_stage, inputs, STAGE_WIDTHS, strides, blocks))
        self.linear = nn.Linear(STAGE_WIDTHS[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        features = self.stages(functional.relu(self.bn1(self.conv1(x))))
        return self.linear(torch.flatten(functional.adaptive_avg_pool2d(features, 1), 1))


def shortcut(ci: int, co: int, stride: int) -> nn.Module:
    """The identity where shapes agree, otherwise a 1x1 projection with batch norm."""
    if stride == 1 and ci == co:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(ci, co, 1, stride, bias=False), nn.BatchNorm2d(co))


def _stage(ci: int, co: int, stride: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(ci, co, stride), *(BasicBlock(co, co, 1) for _ in range(blocks - 1)))


def _source(name: str, factory: Callable[[], nn.Module], description: str) -> ModelSource:
    return ModelSource(name, factory, (1, 3, 32, 32), description)


MODELS = {
    source.name: source
    for source in (
        _source("resnet18", partial(ResNet, (2, 2, 2, 2)), "ResNet-18 for CIFAR-10, 11.2 M parameters"),
        _source("resnet34", partial(ResNet, (3, 4, 6, 3)), "ResNet-34 for CIFAR-10, 21.3 M parameters"),
    )
}
