import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import adaln
from dreamdrive.kernels.adaln import adaln_modulate, adaln_op
from support.kernels import DTYPES, draw, parity, plant

pytest.importorskip("triton")

SHAPES = [(1, 1, 1), (2, 3, 7), (0, 4, 16), (2, 0, 16), (1, 2, 1100), (2, 37, 130)]


def inputs(shape, dtype=torch.float32):
    G, _, D = shape
    return draw(0, shape, (G, 1, D), (G, 1, D), dtype=dtype)


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_equals_its_reference_forward_and_backward(shape, dtype, norm):
    parity(
        lambda *x: adaln_modulate(*x, norm=norm, backend="triton"),
        lambda *x: adaln.reference(*x, norm),
        inputs(shape, dtype),
    )


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("+ shift.to(tl.float32)", "- shift.to(tl.float32)"),
        ("/ D + eps)", "/ (D + 1) + eps)"),
        ("grad_scale += tl.sum(grad * normal, 0)", "grad_scale += tl.sum(inner * normal, 0)"),
        ("back -= (tl.sum(inner, 1) / D)[:, None]", "back -= 0.0"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "adaln", right, wrong)
    with pytest.raises(AssertionError, match="error"):
        parity(
            lambda *x: adaln_modulate(*x, backend="triton"),
            adaln.reference,
            inputs((2, 3, 7), torch.bfloat16),
        )


def test_conditions_that_are_pieces_of_one_tensor_are_not_copied():
    """Shift and scale of a block are cut from one projection, with a stride between rows."""
    packed = draw(1, (2, 1, 24), grad=False)[0]
    shift, _, scale = packed.chunk(3, -1)
    assert shift.stride(-2) == 24
    x = draw(2, (2, 5, 8), grad=False)[0]
    parity(lambda *v: adaln_modulate(*v, backend="triton"), adaln.reference, [x, shift, scale])


def test_one_condition_for_all_groups():
    x, shift, scale = draw(3, (3, 2, 6), (1, 1, 6), (6,))
    parity(lambda *v: adaln_modulate(*v, backend="triton"), adaln.reference, [x, shift, scale])


def test_reference_by_hand():
    x = torch.tensor([[1.0, 3.0]])
    shift, scale = torch.tensor([[10.0, 20.0]]), torch.tensor([[1.0, 0.0]])
    out = adaln.reference(x, shift, scale)
    torch.testing.assert_close(out, torch.tensor([[8.0, 21.0]]), atol=1e-4, rtol=1e-4)
    out = adaln.reference(torch.tensor([[3.0, 4.0]]), shift, scale, "rms")
    expected = torch.tensor([[10.0 + 2.0 * 3.0 / 12.5**0.5, 20.0 + 4.0 / 12.5**0.5]])
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_gradients_of_the_reference(norm):
    values = [x.detach().double().requires_grad_() for x in inputs((2, 3, 5))]
    assert torch.autograd.gradcheck(lambda *x: adaln.reference(*x, norm), values)


@pytest.mark.parametrize("rms", [False, True])
def test_the_operator_is_registered_whole(rms):
    x, shift, scale = draw(0, (6, 8), (2, 8), (2, 8))
    torch.library.opcheck(adaln_op, (x, shift, scale, 3, rms))


def test_what_the_kernel_does_not_take_is_refused_by_name_and_left_to_torch_otherwise():
    x, _, scale = inputs((2, 3, 4))
    with pytest.raises(KernelError, match="shift must have one row per group"):
        adaln_modulate(x, torch.zeros(2, 3, 4), scale, backend="triton")
    with pytest.raises(KernelError, match="up to 16384 channels"):
        adaln_modulate(torch.zeros(1, 20_000), torch.zeros(1), torch.zeros(1), backend="triton")
    out = adaln_modulate(x, torch.ones(2, 3, 4), scale)
    torch.testing.assert_close(out, adaln.reference(x, torch.ones(2, 3, 4), scale))
