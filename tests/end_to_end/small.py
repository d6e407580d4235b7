"""A network and arguments with which optimizing takes seconds."""

from __future__ import annotations

FACTORY = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.same = nn.Conv2d(16, 32, 3, padding=1)
        self.classes = nn.Linear(32, 10)

    def forward(self, x):
        return self.classes(torch.relu(self.same(torch.relu(self.stem(x)))).mean((2, 3)))
"""
FEW = ["--configurations", "12", "--operators", "6", "--images", "8", "--input", "1,3,12,12", "--legality", "fisher"]
