"""One operator on the GPU of this machine: our kernels of it and cuDNN's, checked and timed; runs in a process of its
own, which a kernel may take with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import tvm
import tvm_ffi
from torch.nn import functional

from loopwright.ir.contraction import OperatorForm, operator_form
from loopwright.lowering.axes import as_image
from loopwright.lowering.layout import channel_block
from loopwright.lowering.schedules.backend import Schedule, backend_of
from loopwright.measurement.device import replay_clock
from loopwright.operators import parse
from loopwright.targets.cuda import cuda

TARGET = cuda()
CALLS, WARM_UP, SAMPLES = 50, 2, 5
Call = Callable[[], object]


@dataclass(frozen=True)
class Peer:
    """cuDNN's convolution: what it may round float32 to, the type of its tensors, and whether channels come last."""

    tf32: bool
    dtype: torch.dtype
    channels_last: bool


PEERS = {
    "cudnn_fp32": Peer(False, torch.float32, False),
    "cudnn_tf32": Peer(True, torch.float32, False),
    "cudnn_tf32_last": Peer(True, torch.float32, True),
    "cudnn_bf16_last": Peer(True, torch.bfloat16, True),
}


@dataclass(frozen=True, eq=False)
class Given:
    """An operator's tensors for some images, and what float64 makes of them, stored as our kernels store it."""

    form: OperatorForm
    x: torch.Tensor
    weight: torch.Tensor
    geometry: dict[str, Any]
    expected: torch.Tensor


@lru_cache(maxsize=1)
def given(operator: str, images: int) -> Given:
    """Random ones, the same every time."""
    convolution = parse(operator)
    form = operator_form(convolution.nest())
    random = torch.Generator("cuda").manual_seed(0)
    x = torch.randn((images, *form.input_shape), device="cuda", generator=random)
    weight = torch.randn(form.weight_bounds, device="cuda", generator=random)
    geometry = {
        "stride": convolution.strides,
        "padding": convolution.paddings,
        "dilation": convolution.dilations,
        "groups": convolution.groups,
    }
    expected = functional.conv2d(x.double(), weight.double(), **geometry).float()
    return Given(form, x, weight, geometry, blocked(expected))


def blocked(images: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) as our kernels store it."""
    n, channels, rows, columns = images.shape
    block = channel_block(channels, TARGET.activation_block)
    return images.reshape(n, channels // block, block, rows, columns).permute(0, 1, 3, 4, 2).contiguous()


def our_call(operator: str, images: int, schedule: Schedule, path: Path) -> tuple[Call, float]:
    """A call of a built kernel, and by what part of the largest output it differs from float64."""
    own = given(operator, images)
    packed = backend_of(TARGET).pack(as_image(own.form).form, schedule, TARGET.activation_block, 0)
    weight = own.weight.cpu().numpy()
    dense = [weight.reshape(-1)[contraction.weight_indices(weight.shape)] for contraction in own.form.contractions]
    weights = [contraction.pack(part) for contraction, part in zip(packed, dense, strict=True)]
    tensors = [blocked(own.x), *(torch.from_numpy(np.ascontiguousarray(array)).cuda() for array in weights)]
    out = torch.full_like(own.expected, float("nan"))
    call = partial(tvm.runtime.load_module(str(path))["main"], *tensors, out)
    with tvm_ffi.use_torch_stream():
        call()
    torch.cuda.synchronize()
    error = ((out - own.expected).abs().max() / own.expected.abs().max()).item()
    return call, error if error == error else float("inf")


def peer_call(operator: str, images: int, name: str) -> Call:
    """A call of cuDNN's convolution, of those that it knows the fastest."""
    own, peer = given(operator, images), PEERS[name]
    order = torch.channels_last if peer.channels_last else torch.contiguous_format
    x, weight = (tensor.to(peer.dtype).contiguous(memory_format=order) for tensor in (own.x, own.weight))

    def call() -> object:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = peer.tf32
        return functional.conv2d(x, weight, **own.geometry)

    call()
    return call


def timed(call: Call, samples: int = SAMPLES) -> float:
    """Microseconds of a call: the median of some replays of a graph of many."""
    sample_ms = replay_clock(call, CALLS)
    for _ in range(WARM_UP):
        sample_ms()
    return 1000 * median(sample_ms() for _ in range(samples))


def time_ours(operator: str, images: int, schedule: Schedule, path: Path) -> tuple[float, float]:
    """Microseconds, and the difference from float64."""
    call, error = our_call(operator, images, schedule, path)
    return timed(call), error


def time_peer(operator: str, images: int, name: str) -> float:
    """Microseconds."""
    return timed(peer_call(operator, images, name))


def in_turns(operator: str, images: int, schedule: Schedule, path: Path, peers: list[str], rounds: int) -> list[float]:
    """Microseconds of our kernel and of some peers, from samples that were taken in turns."""
    calls = [our_call(operator, images, schedule, path)[0], *(peer_call(operator, images, name) for name in peers)]
    clocks = [replay_clock(call, CALLS) for call in calls]
    samples = [[clock() for clock in clocks] for _ in range(rounds + WARM_UP)][WARM_UP:]
    return [1000 * median(own) for own in zip(*samples, strict=True)]


def device_name() -> str:
    """Of the GPU."""
    return torch.cuda.get_device_name()
