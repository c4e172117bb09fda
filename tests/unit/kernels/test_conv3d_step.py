import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import conv3d_step as subject
from dreamdrive.kernels.conv3d_step import conv3d_step, conv3d_step_op
from support.kernels import DTYPES, close, draw, parity, plant

pytest.importorskip("triton")

# B, C, O, H, W, kernel
CASES = {
    "one": (1, 1, 1, 1, 1, (1, 1, 1)),
    "odd": (2, 3, 5, 5, 7, (3, 3, 1)),
    "over time alone": (2, 4, 4, 2, 2, (3, 1, 1)),
    "empty": (0, 3, 2, 4, 4, (2, 3, 3)),
    "larger than a block": (1, 67, 66, 9, 8, (2, 1, 3)),
}


def inputs(case, dtype=torch.float32, grad=False):
    B, C, O, H, W, kernel = CASES[case]  # noqa: E741
    shapes = (B, C, H, W), (B, kernel[0] - 1, C, H, W), (O, C, *kernel), (O,)
    return draw(0, *shapes, dtype=dtype, grad=grad)


def hold(case, dtype):
    parity(lambda *x: conv3d_step(*x, backend="triton")[0], subject.reference, inputs(case, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_kernel_equals_its_reference(case, dtype):
    hold(case, dtype)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("row + i - TALL // 2", "row + i"),
        ("(frame * (K - 1) + k)", "(frame * (K - 1) + K - 2 - k)"),
        ("& (wide < W)", ""),
        ("total += bias[None, :]", "total -= bias[None, :]"),
        ("k * TALL * WIDE + here", "here"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "conv3d_step", right, wrong)
    with pytest.raises(AssertionError, match="error"):
        hold("larger than a block" if "wide" in right else "odd", torch.bfloat16)


def test_frame_by_frame_gives_what_the_whole_clip_gives():
    _, _, weight, bias = inputs("odd")
    clip = draw(4, (2, 6, 3, 5, 7), grad=False)[0]
    padded = torch.nn.functional.pad(clip.transpose(1, 2), (0, 0, 1, 1, 2, 0))
    whole = torch.nn.functional.conv3d(padded, weight, bias).transpose(1, 2)
    cache = torch.zeros(2, 2, 3, 5, 7)
    for t in range(6):
        out, cache = conv3d_step(clip[:, t], cache, weight, bias, backend="triton")
        close(out, whole[:, t], 1e-5)
    assert torch.equal(cache, clip[:, 4:])


def test_gradients_of_the_reference():
    values = [x.double().requires_grad_() for x in inputs("over time alone")]
    assert torch.autograd.gradcheck(subject.reference, values)


def test_the_operator_is_registered_whole():
    torch.library.opcheck(conv3d_step_op, tuple(inputs("odd")))
    torch.library.opcheck(conv3d_step_op, (*inputs("odd")[:3], None))


def test_what_cannot_be_is_refused():
    x, cache, weight, bias = inputs("odd")
    with pytest.raises(KernelError, match="do not belong together"):
        conv3d_step(x, cache[:, :1], weight, bias)
    with pytest.raises(KernelError, match="odd in space, got 2x1"):
        conv3d_step(x, cache, weight[:, :, :, :2], bias)
    asked = x.clone().requires_grad_()
    with pytest.raises(KernelError, match="has no gradient"):
        conv3d_step(asked, cache, weight, bias, backend="triton")
    conv3d_step(asked, cache, weight, bias)[0].sum().backward()
    assert asked.grad is not None
