"""DenseNet for 32x32 images: Huang et al., "Densely Connected Convolutional Networks" (CVPR 2017), DenseNet-BC.

DenseNet-161 (growth rate 48; 6, 12, 36, 24 layers) with a 3x3 stem of stride 1 in place of the 7x7 stem and pooling.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from loopwright.models.sources import ModelSource

BOTTLENECK = 4


class DenseLayer(nn.Module):
    """BN, ReLU, 1x1, BN, ReLU, 3x3, then concatenation: (N, ci, H, W) -> (N, ci + growth, H, W)."""

    def __init__(self, ci: int, growth: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(ci)
        self.conv1 = nn.Conv2d(ci, BOTTLENECK * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Puts the new channels before those of the input."""
        inner = self.conv1(functional.relu(self.bn1(x)))
        return torch.cat([self.conv2(functional.relu(self.bn2(inner))), x], 1)


class Transition(nn.Module):
    """BN, ReLU, 1x1, 2x2 average pooling: (N, ci, H, W) -> (N, co, H/2, W/2)."""

    def __init__(self, ci: int, co: int):
        super().__init__()
        self.bn = nn.BatchNorm2d(ci)
        self.conv = nn.Conv2d(ci, co, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Halves rows and columns."""
        return functional.avg_pool2d(self.conv(functional.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """Dense stages with transitions between them that halve the channels: (N, 3, 32, 32) -> (N, classes)."""

    def __init__(self, layers: Sequence[int], growth: int, classes: int = 10):
        super().__init__()
        channels = 2 * growth
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        stages: list[nn.Module] = []
        for stage, count in enumerate(layers):
            if stage:
                stages.append(Transition(channels, channels // 2))
                channels //= 2
            stages.append(nn.Sequential(*(DenseLayer(channels + i * growth, growth) for i in range(count))))
            channels += count * growth
        self.stages = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        features = functional.relu(self.bn(self.stages(self.conv1(x))))
        return self.linear(torch.flatten(functional.adaptive_avg_pool2d(features, 1), 1))


def _densenet161() -> nn.Module:
    return DenseNet((6, 12, 36, 24), growth=48)


MODELS = {
    "densenet161": ModelSource(
        "densenet161", _densenet161, (1, 3, 32, 32), "DenseNet-161 for CIFAR-10, 26.5 M parameters"
    )
}
