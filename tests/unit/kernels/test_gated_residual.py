import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import gated_residual as subject
from dreamdrive.kernels.gated_residual import gated_residual, gated_residual_op
from support.kernels import DTYPES, draw, parity, plant

pytest.importorskip("triton")


def inputs(shape, dtype=torch.float32):
    G, _, D = shape
    return draw(0, shape, (G, 1, D), shape, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 5, 7), (0, 4, 16), (2, 0, 16), (1, 3, 1100), (2, 37, 130)]
)
def test_kernel_equals_its_reference_forward_and_backward(shape, dtype):
    parity(lambda *x: gated_residual(*x, backend="triton"), subject.reference, inputs(shape, dtype))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("out = x + gate", "out = x - gate"),
        ("grad_gate += tl.sum(grad * y, 0)", "grad_gate = tl.sum(grad * y, 0)"),
        ("grad_y = grad * gate", "grad_y = y * gate"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "gated_residual", right, wrong)
    with pytest.raises(AssertionError, match="error"):
        parity(
            lambda *x: gated_residual(*x, backend="triton"),
            subject.reference,
            inputs((2, 37, 70), torch.bfloat16),
        )


def test_reference_by_hand_and_its_gradients():
    x, gate, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0]]), torch.tensor([[4.0, 5.0]])
    assert subject.reference(x, gate, y).tolist() == [[13.0, 2.0]]
    values = [v.detach().double().requires_grad_() for v in inputs((2, 3, 5))]
    assert torch.autograd.gradcheck(subject.reference, values)


def test_the_operator_is_registered_whole():
    x, gate, y = draw(0, (6, 8), (2, 8), (6, 8))
    torch.library.opcheck(gated_residual_op, (x, gate, y, 3))


def test_a_gate_for_each_token_is_refused_by_name_and_left_to_torch_otherwise():
    x, gate, y = draw(0, (2, 3, 4), (2, 3, 4), (2, 3, 4))
    with pytest.raises(KernelError, match="gate must have one row per group"):
        gated_residual(x, gate, y, backend="triton")
    torch.testing.assert_close(gated_residual(x, gate, y), x + gate * y)
