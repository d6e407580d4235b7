"""Writes docs/compile.md from the survey of networks; a test holds that the page is up to date."""

from __future__ import annotations

import csv
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
PAGE, TABLE = DOCS / "compile.md", DOCS / "data" / "networks.csv"

HEAD = """# Compiling and deploying

`loopwright compile` turns a network into one shared library with the weights inside:

```
loopwright compile resnet34 -o resnet34.so
loopwright compile my_networks.py:unet --input 1,3,256,256 -o unet.so --threads 4
loopwright compile runs/resnet34 -o faster.so
```

The last one takes a folder that `loopwright optimize` wrote. Before a file is kept it is loaded again and held against
PyTorch on a random input: above 1e-3 of the largest output (in float32; 5e-3 in tf32, 2.5e-2 in bf16) the command fails and
leaves nothing. The same from Python, for
any module and any number of inputs, whose shapes and types the example fixes:

>>> import torch
>>> from torch import nn
>>> import loopwright
>>> module = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU()).eval()
>>> compiled = loopwright.compile(module, torch.zeros(1, 3, 32, 32), tune=False)
>>> image = torch.randn(1, 3, 32, 32)
>>> torch.allclose(compiled(image), module(image), atol=1e-4)
True

PyTorch tensors give tensors, NumPy arrays give arrays, nested as the module nests them. `compiled.notes` say which
operations TVM lowers in its own way, and `compiled.export_library("net.so")` writes the file.

## Running it with TVM's runtime alone

Nothing of Loopwright and no PyTorch is needed where it runs, only `numpy`, and `apache-tvm` and `apache-tvm-ffi` in the versions
that `pyproject.toml` pins:

```python
import numpy as np
import tvm
from tvm import relax

library = tvm.runtime.load_module("resnet34.so")
network = relax.VirtualMachine(library, tvm.cpu())["main"]
image = tvm.runtime.tensor(np.zeros((1, 3, 32, 32), "float32"))
output = network(image).numpy()
```

For a network compiled with `--target cuda`, `tvm.cuda()` stands in place of `tvm.cpu()`, and the image is put there:
`tvm.runtime.tensor(array, tvm.cuda())`.

TVM starts half as many threads as there are processors, or one; to use two, say so before the first run, with
`tvm.get_global_func("runtime.config_threadpool")(-3, 2, ["0", "1"], 2)` or `TVM_NUM_THREADS=2`.

## Memory

TVM keeps a network's constants as one blob that is copied when a library is loaded, so that every weight is held twice,
and four times while it loads. Loopwright links weights as read-only data instead, and kernels use them in place: the
system reads a page from the file when it is first touched, and processes share it. Loading takes less than a millisecond.
Activations share their storage where their lives do not overlap. [Performance](performance.md) has what networks take.

## Other processors

| `--target` | code for |
| --- | --- |
| `cpu` | this processor: its instructions, caches and cores. On one without AVX-512 a library made on one with it does not run |
| `cpu-avx512`, `cpu-avx2` | x86-64 processors with these instructions; take `--threads` for the number of its cores |
| `cpu-neon` | 64-bit ARM |
| `cuda`, `cuda-sm_90`, ... | NVIDIA GPUs: [GPUs](gpu.md) |

For a target of this machine's architecture the library is linked here, and checked if this machine has the instructions.
For another one (`loopwright compile resnet34 --target cpu-neon -o net.tar`) the command writes an archive of objects, which a compiler there links against the header
and library of `apache-tvm-ffi`:

```
tar xf net.tar
cc -shared -fPIC -o net.so *.o *.c -I$(tvm-ffi-config --includedir) -I$(tvm-ffi-config --dlpack-includedir) \\
    -L$(tvm-ffi-config --libdir) -ltvm_ffi
```

## What compiles

Every operation that is no convolution of ours, or what is fused with one, goes to TVM's own lowering, with a note where
that costs something. What TVM's importer lacks or would get wrong is first rewritten with operations that it has; what is
left is refused in one line that names the operation and the layer. Networks that change their own buffers in evaluation
mode, or return what is no tensor, are refused too.

The table is from `python -m scripts.survey_networks` (random weights, batch norm statistics from random images; AVX-512).
*Difference* is the largest one from PyTorch, relative to the largest output.

| network | input | left to TVM, and how often | difference |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The whole page."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = [" | ".join(value or "-" for value in row.values()) for row in csv.DictReader(file)]
    return HEAD + "".join(f"| {row} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
