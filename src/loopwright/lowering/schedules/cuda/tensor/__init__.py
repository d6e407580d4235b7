"""Kernels on the tensor cores of NVIDIA GPUs: blocks of threads that stage tiles in shared memory."""
