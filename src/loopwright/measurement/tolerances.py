"""How much compiled code may differ from PyTorch, relative to the largest output, by what factors are rounded to."""

from __future__ import annotations

from loopwright.targets.target import BF16, FLOAT32, TF32

KERNEL = {FLOAT32: 1e-4, TF32: 2e-3, BF16: 1e-2}
"""For one operator. In float32 sums in another order explain so much. Factors are rounded to the 10 bits of tf32's
fraction, by at most 5e-4 of their values (that of an activation, of which the other bits are dropped, by 1e-3), or to
the 7 bits of bfloat16's, by at most 4e-3. The largest difference in tf32 on an H100 was 5e-4."""

NETWORK = {FLOAT32: 1e-3, TF32: 5e-3, BF16: 2.5e-2}
"""For a network. Roundings of many layers are independent and mostly cancel: PyTorch's own tf32 differs by 1e-4 from
its float32 in networks of 18 to 161 layers; 5e-3 leaves room for shallow ones, which may differ as an operator does."""
