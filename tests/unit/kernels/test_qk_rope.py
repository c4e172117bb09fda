import math

import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import qk_rope as subject
from dreamdrive.kernels.qk_rope import angles_3d, qk_norm_rope, qk_rope_op, rotate
from support.kernels import DTYPES, close, draw, parity, plant

pytest.importorskip("triton")

CASES = {
    "one": ((), (), 1, 1, 2),
    "odd": ((3, 5), (5,), 3, 1, 6),
    "empty": ((0, 5), (5,), 2, 1, 4),
    "time in front": ((2, 7), (2, 1), 4, 2, 8),
    "in the middle": ((2, 3, 2), (3, 1), 2, 2, 10),
    "apart": ((2, 3, 2), (2, 1, 2), 2, 1, 4),
    "larger than a block": ((67,), (67,), 4, 2, 32),
}


def inputs(case, dtype=torch.float32):
    leading, places, M, G, P = CASES[case]
    tensors = draw(0, (*leading, M, P), (*leading, G, P), (P,), (P,), dtype=dtype)
    angle = 4.0 * draw(1, (*places, P // 2), grad=False)[0]
    return [*tensors, angle]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_kernel_equals_its_reference_forward_and_backward(case, dtype):
    parity(lambda *x: qk_norm_rope(*x, backend="triton"), subject.reference, inputs(case, dtype))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("out1, out2 = first * cos - second * sin", "out1, out2 = first * cos + second * sin"),
        ("(token // repeats) % A", "token % A"),
        ("key_at = ((token * G + head - M)", "key_at = ((token * G)"),
        ("tl.sum(tl.where(is_key, two, 0.0), 0)", "tl.sum(tl.where(is_query, two, 0.0), 0)"),
        ("(grad1 - first * along)", "(grad1)"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "qk_rope", right, wrong)
    with pytest.raises(AssertionError, match="error"):
        parity(
            lambda *x: qk_norm_rope(*x, backend="triton"),
            subject.reference,
            inputs("time in front", torch.bfloat16),
        )


def test_products_depend_on_the_distance_alone_however_far_the_frame():
    """Angles in double precision stay exact after a million frames."""
    query, key = draw(0, (1, 2, 8), (1, 2, 8), grad=False)
    one = torch.ones(8)
    frequency = 1000.0 ** (-torch.arange(4).double() / 4)

    def product(at, before):
        turned, _ = qk_norm_rope(query, key, one, one, at * frequency, backend="triton")
        _, other = qk_norm_rope(query, key, one, one, (at - before) * frequency, backend="triton")
        return (turned * other).sum(-1)

    close(product(1_000_003, 5), product(7, 5), 1e-5)
    assert (product(7, 5) - product(7, 4)).abs().max() > 1e-2


def test_reference_by_hand():
    query, key = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[1.0, 1.0]]])
    angle = torch.tensor([[math.pi / 2]])
    out, turned = subject.reference(query, key, torch.ones(2), torch.tensor([1.0, 2.0]), angle)
    size = 12.5**0.5
    torch.testing.assert_close(out, torch.tensor([[[-4.0 / size, 3.0 / size]]]))
    torch.testing.assert_close(turned, torch.tensor([[[-2.0, 1.0]]]), atol=1e-5, rtol=1e-5)


def test_three_axes_share_the_pairs_as_in_wan():
    position = torch.tensor([[5.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 2.0]])
    angle = angles_3d(position, 11)
    turns = angle != 0.0
    assert turns.sum(1).tolist() == [5, 3, 3]
    assert turns.sum(0).tolist() == [1] * 11
    torch.testing.assert_close(angle[0, 1], torch.tensor(5.0 * 10_000.0 ** (-1 / 5)))


def test_relative_positions_on_all_three_axes():
    x, y = draw(0, (12,), (12,), grad=False)
    here, there = torch.tensor([4.0, 2.0, 1.0]), torch.tensor([1.0, 7.0, 3.0])
    move = torch.tensor([10.0, 5.0, 2.0])
    first = (rotate(x, angles_3d(here, 6)) * rotate(y, angles_3d(there, 6))).sum()
    moved = rotate(x, angles_3d(here + move, 6)) * rotate(y, angles_3d(there + move, 6))
    torch.testing.assert_close(first, moved.sum())


def test_gradients_of_the_reference():
    *tensors, angle = inputs("odd", torch.float64)
    angle = angle.double()
    tensors = [x.detach().requires_grad_() for x in tensors]
    # Its statistics are taken in float32 by intent, so that the check has float32's precision.
    assert torch.autograd.gradcheck(
        lambda *x: subject.reference(*x, angle), tensors, eps=1e-3, atol=2e-3
    )


def test_the_operator_is_registered_whole():
    query, key, one, two = draw(0, (6, 2, 4), (6, 1, 4), (4,), (4,))
    torch.library.opcheck(qk_rope_op, (query, key, one, two, torch.rand(3, 2), 2))


def test_what_cannot_be_rotated_is_refused():
    with pytest.raises(KernelError, match="even head size, got 3"):
        qk_norm_rope(*draw(0, (1, 1, 3), (1, 1, 3), (3,), (3,)), torch.zeros(1, 1))
    with pytest.raises(KernelError, match="heads of up to 512, got 1024"):
        qk_norm_rope(
            *draw(0, (1, 1, 1024), (1, 1, 1024), (1024,), (1024,)), torch.zeros(512),
            backend="triton",
        )  # fmt: skip
