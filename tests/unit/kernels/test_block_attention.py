import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import block_attention as subject
from dreamdrive.kernels.block_attention import (
    Frames,
    block_attention,
    block_attention_op,
    visible,
)
from support.kernels import DTYPES, draw, parity, plant

pytest.importorskip("triton")

# R, S, M, G, P, frames, turned in the kernel
CASES = {
    "one": (1, 1, 1, 1, 2, Frames(1, 1), True),
    "time": (2, 7, 2, 1, 6, Frames(1, 3), True),
    "space, with an agent token": (2, 5, 4, 2, 8, Frames(5, 1, 1), False),
    "empty": (0, 3, 1, 1, 4, Frames(1, 2), True),
    "frames, the last cut short": (1, 17, 2, 2, 4, Frames(3, 2, 1), True),
    "larger than a block": (1, 91, 2, 1, 34, Frames(8, 3, 1), True),
}


def inputs(case, dtype=torch.float32):
    R, S, M, G, P, _, turned = CASES[case]
    tensors = draw(0, (R, S, M, P), (R, S, G, P), (R, S, G, P), dtype=dtype)
    angle = draw(1, (S, P // 2), grad=False)[0] if turned else None
    return tensors, CASES[case][5], angle


def hold(case, dtype):
    tensors, frames, angle = inputs(case, dtype)
    parity(
        lambda *x: block_attention(*x, frames, angle, backend="triton"),
        lambda *x: subject.reference(*x, frames, angle),
        tensors,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_kernel_equals_its_reference_forward_and_backward(case, dtype):
    hold(case, dtype)


@pytest.mark.parametrize(
    ("module", "right", "wrong"),
    [
        ("block_attention", "shrink = tl.exp2(highest - higher)",
         "shrink = tl.exp2(higher - higher)"),
        ("block_attention", "head // (M // G)", "head % G"),
        ("block_attention", "log_sum = highest +", "log_sum = 0.9 * highest +"),
        ("block_attention_backward", "repeat = M // G", "repeat = 1"),
        ("block_attention_backward", "second * cos - first * sin", "second * cos + first * sin"),
        ("block_attention_backward", "end = tl.minimum((last_frame + window) * n",
         "end = tl.minimum(last_frame * n"),
    ],
)  # fmt: skip
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, module, right, wrong):
    plant(monkeypatch, tmp_path, module, right, wrong)
    case = "space, with an agent token" if "// G" in right else "larger than a block"
    with pytest.raises(AssertionError, match="error"):
        hold(case, torch.float32)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("distance >= 0", "distance >= -1"),
        ("distance < window", "distance <= window"),
        ("n - private", "n"),
        ("tl.maximum(first_frame - window + 1, 0)", "tl.maximum(first_frame, 0)"),
    ],
)
def test_a_kernel_that_reads_what_it_may_not_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "block_attention", right, wrong)
    with pytest.raises(AssertionError, match="error"):
        hold("larger than a block", torch.bfloat16)


def test_who_may_read_whom_by_hand():
    seen = visible(6, Frames(tokens=2, window=2, num_private=1))
    assert seen.int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [0, 0, 1, 0, 1, 0],
        [0, 0, 1, 1, 1, 1],
    ]


def test_later_frames_change_nothing():
    (query, key, value), frames, angle = inputs("larger than a block")
    out = block_attention(query, key, value, frames, angle, backend="triton")
    with torch.no_grad():
        key[:, 40:], value[:, 40:] = 7.0, -7.0
    again = block_attention(query, key, value, frames, angle, backend="triton")
    assert torch.equal(out[:, :40], again[:, :40])
    assert not torch.equal(out[:, 40:], again[:, 40:])


def test_gradients_of_the_reference():
    tensors, frames, angle = inputs("frames, the last cut short", torch.float64)
    assert angle is not None
    assert torch.autograd.gradcheck(
        lambda *x: subject.reference(*x, frames, angle.double()), tensors, fast_mode=True
    )


@pytest.mark.parametrize("case", ["time", "space, with an agent token"])
def test_the_operator_is_registered_whole(case):
    tensors, frames, angle = inputs(case)
    torch.library.opcheck(block_attention_op, (*tensors, angle, *frames))


def test_what_cannot_be_is_refused():
    (query, key, value), frames, angle = inputs("time")
    with pytest.raises(KernelError, match="do not belong together"):
        block_attention(query, key[:1], value, frames)
    with pytest.raises(KernelError, match="no frames such as"):
        block_attention(query, key, value, Frames(0, 1))
    with pytest.raises(KernelError, match=r"angles of shape \(S, P/2\), got \(6, 3\)"):
        block_attention(query, key, value, frames, angle[:6], backend="triton")
    with pytest.raises(KernelError, match="even head sizes up to 256, got 3"):
        block_attention(query[..., :3], key[..., :3], value[..., :3], frames, backend="triton")
