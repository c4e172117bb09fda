"""Which implementation of an operation runs: chosen by an explicit argument, never silently.

"auto" means Triton for tensors on a CUDA device that the kernels are written for, where Triton is
installed and the kernel takes the shape; otherwise torch. "torch" and "triton" mean just that:
where Triton was asked for by name and cannot do it, an error says why.
"""

import importlib.util
import os
from typing import Literal

import torch
from torch import Tensor

from dreamdrive.errors import KernelError, MissingExtraError

Backend = Literal["auto", "torch", "triton"]
BACKENDS = ("auto", "torch", "triton")

OLDEST_CAPABILITY = 8
"""Compute capability (its major number) from which on the kernels run: bfloat16 in hardware."""

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What the kernels read and write; they compute in float32."""

TRITON_INSTALLED = importlib.util.find_spec("triton") is not None
INTERPRETED = os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")
"""Whether Triton interprets kernels on the CPU; it decides so when a kernel is imported."""


def choose_backend(backend: Backend, x: Tensor, problem: str = "") -> Literal["torch", "triton"]:
    """Returns the backend that an operation on a tensor takes.

    Args:
        backend: What the caller asked for.
        x: The operation's main tensor.
        problem: Why the kernel cannot take these arguments, as one sentence without a full stop;
            empty if it can.

    Raises:
        KernelError: If Triton was asked for by name and cannot run on the device or on this shape,
            or if there is no such backend.
        MissingExtraError: If Triton was asked for by name and is not installed.
    """
    if backend == "torch" or (backend == "auto" and not x.is_cuda):
        return "torch"
    if backend not in BACKENDS:
        raise KernelError(f"backend must be 'auto', 'torch' or 'triton', got {backend!r}")
    if x.dtype not in DTYPES:
        problem = f"The kernels take 32-bit and 16-bit floats, got {x.dtype}"
    if backend == "auto":
        return "torch" if problem or not TRITON_INSTALLED or _too_old(x.device) else "triton"
    if not TRITON_INSTALLED:
        raise MissingExtraError("triton", "triton")
    if problem:
        raise KernelError(problem, do="Call it with backend='torch'")
    if not x.is_cuda and not INTERPRETED:
        raise KernelError(
            f"Triton's kernels run on CUDA tensors, and this one is on {x.device}",
            do="Call it with backend='torch', or set TRITON_INTERPRET=1 before Python starts to "
            "have kernels interpreted, slowly",
        )
    if _too_old(x.device):
        raise KernelError(
            f"The kernels need a GPU of compute capability {OLDEST_CAPABILITY}.0 or newer, and "
            f"{torch.cuda.get_device_name(x.device)} is older",
            do="Call it with backend='torch'",
        )
    return "triton"


def _too_old(device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    return bool(torch.cuda.get_device_properties(device).major < OLDEST_CAPABILITY)
