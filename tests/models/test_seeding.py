from __future__ import annotations

import pytest
import torch

from loopwright.models.seeding import seeded


def test_draws_depend_on_the_seed_alone():
    with seeded(5):
        first = torch.rand(3)
    torch.rand(7)
    with seeded(5):
        assert torch.equal(torch.rand(3), first)


def test_the_random_state_is_restored_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError), seeded(1):
        torch.rand(3).view(2)
    assert torch.equal(torch.get_rng_state(), state)
