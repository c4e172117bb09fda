from types import SimpleNamespace

import pytest
import torch

from dreamdrive.errors import KernelError, MissingExtraError
from dreamdrive.kernels import dispatch
from dreamdrive.kernels.dispatch import choose_backend

CPU = torch.zeros(1)


def cuda(capability: int, monkeypatch) -> SimpleNamespace:
    """A stand-in for a tensor on a GPU of a compute capability."""
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=capability)
    )
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A GPU")
    return SimpleNamespace(is_cuda=True, dtype=torch.float32, device=torch.device("cuda"))


def test_auto_is_torch_on_the_cpu_and_triton_on_a_gpu_that_can(monkeypatch):
    assert choose_backend("auto", CPU) == "torch"
    monkeypatch.setattr(dispatch, "TRITON_INSTALLED", True)
    assert choose_backend("auto", cuda(8, monkeypatch)) == "triton"
    assert choose_backend("auto", cuda(7, monkeypatch)) == "torch"
    assert choose_backend("auto", cuda(9, monkeypatch), "Too long") == "torch"
    assert choose_backend("torch", cuda(9, monkeypatch)) == "torch"
    monkeypatch.setattr(dispatch, "TRITON_INSTALLED", False)
    assert choose_backend("auto", cuda(9, monkeypatch)) == "torch"


def test_triton_by_name_never_falls_back(monkeypatch):
    monkeypatch.setattr(dispatch, "TRITON_INSTALLED", True)
    monkeypatch.setattr(dispatch, "INTERPRETED", True)
    assert choose_backend("triton", CPU) == "triton"
    with pytest.raises(KernelError, match=r"Too long\. Call it with backend='torch'"):
        choose_backend("triton", CPU, "Too long")
    with pytest.raises(KernelError, match=r"8\.0 or newer, and A GPU is older"):
        choose_backend("triton", cuda(7, monkeypatch))
    with pytest.raises(KernelError, match=r"32-bit and 16-bit floats, got torch\.float64"):
        choose_backend("triton", CPU.double())
    monkeypatch.setattr(dispatch, "INTERPRETED", False)
    with pytest.raises(KernelError, match="run on CUDA tensors, and this one is on cpu"):
        choose_backend("triton", CPU)
    monkeypatch.setattr(dispatch, "TRITON_INSTALLED", False)
    with pytest.raises(MissingExtraError, match=r"dreamdrive\[triton\]"):
        choose_backend("triton", CPU)


def test_an_unknown_backend_is_refused():
    with pytest.raises(KernelError, match="backend must be 'auto', 'torch' or 'triton'"):
        choose_backend("cuda", CPU)
