"""From loop nests to PyTorch modules and to compiled code."""

from __future__ import annotations

import os

# TVM's other compiler of CUDA code runs inside this process: a crash of it is ours, and it keeps other threads waiting.
os.environ.setdefault("TVM_CUDA_COMPILE_MODE", "nvcc")
