"""Which implementation of an operation runs: chosen by an explicit argument, never silently."""

import importlib.util
from typing import Literal

from torch import Tensor

from dreamdrive.errors import MissingExtraError

Backend = Literal["auto", "torch", "triton"]


def choose_backend(backend: Backend, x: Tensor) -> Literal["torch", "triton"]:
    """Returns the backend for a tensor: with "auto", Triton on CUDA where installed, else torch.

    Raises:
        MissingExtraError: If Triton was asked for by name and is not installed.
        ValueError: If there is no such backend.
    """
    if backend not in ("auto", "torch", "triton"):
        raise ValueError(f"backend must be 'auto', 'torch' or 'triton', got {backend!r}")
    installed = importlib.util.find_spec("triton") is not None
    if backend == "triton" and not installed:
        raise MissingExtraError("triton", "triton")
    if backend == "auto":
        return "triton" if x.is_cuda and installed else "torch"
    return backend
