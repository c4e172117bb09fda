"""Libraries that people would use instead of these kernels, where they are installed.

None is needed: a peer that is missing is named with the reason, and nothing else changes.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dreamdrive.kernels.attention import attention
from dreamdrive.kernels.block_attention import Frames
from dreamdrive.kernels.cases import Case

NOT_INSTALLED = "not installed"


def peers_of(case: Case) -> dict[str, Callable[..., Any] | str]:
    """Returns what else computes a case, by name: a function of its inputs, or why there is none.

    A peer's result may be laid out in another way; it is timed, not compared.
    """
    if case.name == "swiglu":
        return {"liger": _liger_swiglu() if _installed("liger_kernel") else NOT_INSTALLED}
    if case.name == "adaln":
        return {"liger, norm alone": _liger_norm() if _installed("liger_kernel") else NOT_INSTALLED}
    if case.name.startswith("block_attention"):
        S = case.inputs[0].shape[1]
        frames = Frames(S, 1) if "space" in case.name else Frames(1, S)
        flash: Callable[..., Any] | str = NOT_INSTALLED
        if _installed("flash_attn"):
            flash = _by("flash-attn", frames)
        return {"flash-attn": flash, "flex": _by("flex", frames)}
    return {}


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _by(method: Any, frames: Frames) -> Callable[..., Tensor]:
    def call(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attention(query, key, value, frames, method=method)

    return call


def _liger_swiglu() -> Callable[..., Tensor]:
    from liger_kernel.ops.swiglu import LigerSiLUMulFunction

    def call(gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, -1)
        out: Tensor = LigerSiLUMulFunction.apply(gate.contiguous(), up.contiguous())
        return out

    return call


def _liger_norm() -> Callable[..., Tensor]:
    from liger_kernel.ops.layer_norm import LigerLayerNormFunction

    def call(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        one = torch.ones(x.shape[-1], dtype=x.dtype, device=x.device)
        out: Tensor = LigerLayerNormFunction.apply(x, one, torch.zeros_like(one), 1e-6)
        return out * (1.0 + scale) + shift

    return call
