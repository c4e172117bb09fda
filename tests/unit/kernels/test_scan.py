import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import scan as subject
from dreamdrive.kernels.scan import lambda_return, lambda_return_op
from support.kernels import DTYPES, draw, parity, plant

pytest.importorskip("triton")

SHAPES = [(1, 1), (3, 5), (0, 4), (2, 0), (131, 7)]


def cut_off(shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.3


def hold(shape, dtype, truncated=None):
    reward, value, goes_on = draw(0, shape, shape, shape, dtype=dtype)
    parity(
        lambda r, v, c: lambda_return(
            r, v, c, discount=0.97, lambda_=0.9, truncated_BT=truncated, backend="triton"
        ),
        lambda r, v, c: subject.reference(r, v, c, 0.97, 0.9, truncated),
        [reward, value, goes_on.detach().sigmoid().requires_grad_()],
    )


@pytest.mark.parametrize("truncated", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_equals_its_reference_forward_and_backward(shape, dtype, truncated):
    hold(shape, dtype, cut_off(shape) if truncated else None)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("at = row * T + T - 1 - back", "at = row * T + back"),
        ("!= 0, 0.0, keep)", "!= 0, 1.0, keep)"),
        ("+ tl.where(is_last, carried, 0.0)", ""),
        ("carried = worth * discount * goes_on * keep", "carried = worth * discount * keep"),
        ("tl.where(is_last, value, following)", "following"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "scan", right, wrong)
    with pytest.raises(AssertionError, match="error"):
        hold((3, 5), torch.bfloat16, cut_off((3, 5)))


def test_gradients_of_the_reference():
    values = draw(0, (2, 4), (2, 4), (2, 4), dtype=torch.float64)
    cut = cut_off((2, 4))
    assert torch.autograd.gradcheck(lambda *x: subject.reference(*x, 0.9, 0.8, cut), values)


@pytest.mark.parametrize("truncated", [None, cut_off((3, 4))])
def test_the_operator_is_registered_whole(truncated):
    values = draw(0, (3, 4), (3, 4), (3, 4))
    torch.library.opcheck(lambda_return_op, (*values, truncated, 0.9, 0.95))


def test_tensors_that_differ_are_refused_by_name():
    reward, value = draw(0, (2, 4), (2, 4))
    with pytest.raises(KernelError, match="continuation_BT must be as reward_BT"):
        lambda_return(reward, value, torch.ones(1, 4), discount=0.9, lambda_=0.9, backend="triton")
