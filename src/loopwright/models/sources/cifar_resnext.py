"""ResNeXt for 32x32 images: Xie et al., "Aggregated Residual Transformations for Deep Neural Networks" (CVPR 2017).

Section 5.4's CIFAR design (a 3x3 stem, three stages of three bottleneck blocks, 29 layers) with cardinality 2 and
bottleneck width 64, the "2x64d" of Turner et al. (ASPLOS 2021).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from loopwright.models.sources import ModelSource
from loopwright.models.sources.cifar import shortcut

EXPANSION = 2
STEM_WIDTH = 64


class AggregatedBlock(nn.Module):
    """1x1, grouped 3x3, 1x1 with a shortcut: (N, ci, H, W) -> (N, 2 * width, H/stride, W/stride)."""

    def __init__(self, ci: int, width: int, cardinality: int, stride: int):
        super().__init__()
        co = EXPANSION * width
        self.conv1 = nn.Conv2d(ci, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=cardinality, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, co, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(co)
        self.shortcut = shortcut(ci, co, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the three convolutions and adds the shortcut."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        return functional.relu(self.bn3(self.conv3(inner)) + self.shortcut(x))


class ResNeXt29(nn.Module):
    """Three stages of three aggregated blocks: (N, 3, 32, 32) -> (N, classes)."""

    def __init__(self, cardinality: int, bottleneck_width: int, classes: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM_WIDTH, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_WIDTH)
        blocks, ci = [], STEM_WIDTH
        for stage in range(3):
            width = cardinality * bottleneck_width * 2**stage
            for block in range(3):
                blocks.append(AggregatedBlock(ci, width, cardinality, stride=2 if stage and not block else 1))
                ci = EXPANSION * width
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(ci, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        features = self.blocks(functional.relu(self.bn1(self.conv1(x))))
        return self.linear(torch.flatten(functional.adaptive_avg_pool2d(features, 1), 1))


def _resnext29_2x64d() -> nn.Module:
    return ResNeXt29(cardinality=2, bottleneck_width=64)


MODELS = {
    "resnext29_2x64d": ModelSource(
        "resnext29_2x64d", _resnext29_2x64d, (1, 3, 32, 32), "ResNeXt-29 (2x64d) for CIFAR-10, 9.1 M parameters"
    )
}
