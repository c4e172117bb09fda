import sys
from types import SimpleNamespace

import pytest
import torch

from dreamdrive.errors import KernelError, MissingExtraError
from dreamdrive.kernels import attention as subject
from dreamdrive.kernels import block_attention, dispatch
from dreamdrive.kernels.attention import attention, choose_attention
from dreamdrive.kernels.block_attention import Frames
from support.kernels import close, draw

TIME, SPACE, DENSE = Frames(1, 3), Frames(6, 1), Frames(3, 2, 1)


def on_a_gpu(shape, dtype=torch.bfloat16, capability=9, monkeypatch=None):
    """A stand-in for queries on a GPU."""
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=capability)
    )
    return SimpleNamespace(is_cuda=True, dtype=dtype, device=torch.device("cuda"), shape=shape)


@pytest.mark.parametrize(
    ("shape", "frames", "flash", "capability", "method", "words"),
    [
        ((8, 18, 4, 32), SPACE, True, 9, "triton", "18 tokens fit"),
        ((8, 512, 4, 64), TIME, True, 9, "flash-attn", "is installed"),
        ((8, 512, 4, 64), DENSE, True, 9, "triton", "block-causal"),
        ((8, 512, 4, 64), TIME, False, 9, "triton", "block-causal"),
        ((8, 512, 4, 63), DENSE, True, 9, "sdpa", "cannot run"),
        ((8, 18, 4, 32), SPACE, False, 7, "sdpa", "cannot run"),
    ],
)
def test_what_is_chosen_on_a_gpu(monkeypatch, shape, frames, flash, capability, method, words):
    monkeypatch.setattr(subject, "FLASH_INSTALLED", flash)
    monkeypatch.setattr(dispatch, "TRITON_INSTALLED", True)
    query = on_a_gpu(shape, capability=capability, monkeypatch=monkeypatch)
    choice = choose_attention(query, frames)
    assert choice.method == method
    assert words in choice.reason


def test_on_a_cpu_it_is_pytorchs_own_whatever_is_installed(monkeypatch):
    monkeypatch.setattr(subject, "FLASH_INSTALLED", True)
    choice = choose_attention(torch.zeros(1, 6, 2, 8), SPACE)
    assert choice.method == "sdpa"
    assert "CPU" in choice.reason


def test_a_method_that_was_asked_for_is_taken_or_refused(monkeypatch):
    query = torch.zeros(1, 6, 2, 8)
    gpu = on_a_gpu((1, 6, 2, 8), monkeypatch=monkeypatch)
    assert choose_attention(gpu, DENSE, method="flex").method == "flex"
    with pytest.raises(KernelError, match="FlexAttention is used on CUDA tensors"):
        choose_attention(query, DENSE, method="flex")
    assert choose_attention(query, DENSE, method="sdpa") == ("sdpa", "it was asked for by name")
    monkeypatch.setattr(subject, "FLASH_INSTALLED", False)
    with pytest.raises(MissingExtraError, match=r"dreamdrive\[flash\]"):
        choose_attention(query, TIME, method="flash-attn")
    monkeypatch.setattr(subject, "FLASH_INSTALLED", True)
    for frames, asked, words in (
        (TIME, query, "16-bit floats, got torch.float32"),
        (DENSE, query.half(), "no mask for Frames"),
        (TIME, query.half()[..., :6], "multiple of 8 up to 256, got 6"),
        (TIME, query.half(), "runs on CUDA tensors"),
    ):
        with pytest.raises(KernelError, match=words):
            choose_attention(asked, frames, method="flash-attn")
    with pytest.raises(KernelError, match="must be one of auto, sdpa"):
        choose_attention(query, TIME, method="fastest")
    monkeypatch.setattr(dispatch, "INTERPRETED", False)
    monkeypatch.setattr(dispatch, "TRITON_INSTALLED", True)
    with pytest.raises(KernelError, match="run on CUDA tensors"):
        choose_attention(query, TIME, method="triton")


@pytest.mark.parametrize("frames", [TIME, SPACE, DENSE])
def test_the_kernel_and_pytorchs_own_agree(frames):
    pytest.importorskip("triton")
    query, key, value = draw(0, (2, 6, 4, 8), (2, 6, 2, 8), (2, 6, 2, 8), grad=False)
    angle = draw(1, (6, 4), grad=False)[0]
    mine = attention(query, key, value, frames, angle, method="triton")
    mask = block_attention.visible(6, frames)
    close(mine, attention(query, key, value, frames, angle, mask=mask), 1e-5)


@pytest.mark.parametrize("frames", [TIME, SPACE])
def test_flash_attn_is_called_with_the_same_meaning(monkeypatch, frames):
    """A stand-in with flash-attn's documented signature and meaning of window_size."""

    def flash_attn_func(query, key, value, *, causal, window_size=(-1, -1)):
        index = torch.arange(query.shape[1])
        distance = index[:, None] - index
        seen = torch.ones_like(distance, dtype=torch.bool)
        if causal:
            seen = (distance >= 0) & (distance <= window_size[0])
        heads = [x.transpose(1, 2) for x in (query, key, value)]
        out = torch.nn.functional.scaled_dot_product_attention(
            *heads, attn_mask=seen, enable_gqa=True
        )
        return out.transpose(1, 2)

    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(flash_attn_func=flash_attn_func))
    query, key, value = draw(0, (2, 6, 4, 8), (2, 6, 2, 8), (2, 6, 2, 8), grad=False)
    expected = attention(query, key, value, frames)
    close(subject._flash(query, key, value, frames), expected, 1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("frames", [TIME, DENSE])
def test_flex_attention_is_called_with_the_same_meaning(monkeypatch, frames):
    """Uncompiled: on a CPU it is slow, and the same."""
    from torch.nn.attention.flex_attention import flex_attention

    monkeypatch.setattr(subject, "_compiled_flex", lambda: flex_attention)
    query, key, value = draw(0, (1, 6, 4, 16), (1, 6, 2, 16), (1, 6, 2, 16), grad=False)
    expected = attention(query, key, value, frames)
    close(subject._flex(query, key, value, frames), expected, 1e-5)
