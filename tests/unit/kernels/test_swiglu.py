import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import swiglu as subject
from dreamdrive.kernels.swiglu import swiglu, swiglu_op
from support.kernels import DTYPES, draw, parity, plant

pytest.importorskip("triton")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 2), (3, 5, 14), (0, 8), (3, 0), (7, 2 * 331)])
def test_kernel_equals_its_reference_forward_and_backward(shape, dtype):
    parity(lambda x: swiglu(x, backend="triton"), subject.reference, draw(0, shape, dtype=dtype))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("out = gate * tl.sigmoid(gate) * up", "out = tl.sigmoid(gate) * up"),
        ("(1.0 + gate * (1.0 - sigmoid))", "(1.0 + gate * sigmoid)"),
        ("grad_up = grad * gate * sigmoid", "grad_up = grad * sigmoid"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "swiglu", right, wrong)
    with pytest.raises(AssertionError, match="error"):
        parity(
            lambda x: swiglu(x, backend="triton"),
            subject.reference,
            draw(0, (3, 14), dtype=torch.bfloat16),
        )


def test_reference_by_hand_and_its_gradients():
    out = subject.reference(torch.tensor([0.0, 2.0, 5.0, 3.0]))
    torch.testing.assert_close(out, torch.tensor([0.0, 6.0 / (1.0 + 2.718281828**-2.0)]))
    assert torch.autograd.gradcheck(subject.reference, draw(0, (3, 6), dtype=torch.float64))


def test_the_operator_is_registered_whole():
    torch.library.opcheck(swiglu_op, tuple(draw(0, (3, 8))))


def test_an_odd_number_of_channels_is_refused():
    with pytest.raises(KernelError, match="equally wide, got 7"):
        swiglu(torch.zeros(2, 7))
