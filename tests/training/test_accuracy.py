from __future__ import annotations

import torch
from torch import nn

from loopwright.training.accuracy import accuracy
from loopwright.training.images import Images, normalised


def images(count: int) -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 8, 8, 3), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.randint(4, (count,), generator=generator))


def test_the_accuracy_counts_every_image_once_whatever_the_batch() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    given = images(53)
    found = {batch: accuracy(module, given, batch) for batch in (1, 10, 53, 1000)}
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    right = (module.eval()(normalised(given, torch.float32)).argmax(1) == given.labels).sum()
    assert set(found.values()) == {100 * int(right) / 53}
