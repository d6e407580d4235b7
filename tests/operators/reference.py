"""An operator's untransformed nest against a function of PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from loopwright.ir.interpreter import run
from loopwright.ir.verify import verify
from loopwright.operators import Operator, parse
from tests.sampling import integers


def assert_nest_is(operator: Operator, function: Callable[[Operator, Tensor, Tensor], Tensor]) -> None:
    """The nest is valid, the text reads back, and both give the same integers."""
    nest = operator.nest()
    verify(nest)
    assert parse(str(operator)) == operator
    x, weight = integers(nest, 0)
    expected = function(operator, torch.from_numpy(x).double(), torch.from_numpy(weight).double())
    assert np.array_equal(run(nest, x, weight), expected.numpy())
