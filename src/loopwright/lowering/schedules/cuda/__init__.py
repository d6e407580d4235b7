"""Kernels for NVIDIA GPUs: one thread a register tile, threads of a block that share a reduction."""
