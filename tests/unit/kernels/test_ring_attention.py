import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import ring_attention as subject
from dreamdrive.kernels.qk_rope import rotate
from dreamdrive.kernels.ring_attention import ring_attention, ring_attention_op
from support.kernels import DTYPES, TOLERANCE, close, draw, parity, plant

pytest.importorskip("triton")

# B, N, M, G, W, P
CASES = {
    "one": (1, 1, 1, 1, 1, 2),
    "odd": (3, 2, 6, 2, 5, 6),
    "empty": (0, 2, 2, 1, 4, 8),
    "larger than a block": (2, 1, 4, 1, 37, 34),
}


def inputs(case, dtype=torch.float32):
    B, N, M, G, W, P = CASES[case]
    tensors = draw(0, (B, N, M, P), (B, N, G, W, P), (B, N, G, W, P), dtype=dtype, grad=False)
    count = torch.tensor([1, W + 2, 10 * W + 1])[torch.arange(B) % 3]
    return [*tensors, count]


def frequency(case):
    half = CASES[case][-1] // 2
    return 0.7 ** torch.arange(half)


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_kernel_equals_its_reference(case, dtype, rotated):
    turn = None if rotated else frequency(case)
    parity(
        lambda *x: ring_attention(*x, turn, backend="triton"),
        lambda *x: subject.reference(*x, turn),
        inputs(case, dtype),
    )


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("valid_slots = tl.minimum(count, W)", "valid_slots = W"),
        ("((count - 1) % W - slot + 2 * W) % W", "(2 * W - slot) % W"),
        ("key1 * cos - key2 * sin,", "key1 * cos + key2 * sin,"),
        ("shrink = tl.exp2(highest - higher)", "shrink = tl.exp2(higher - higher)"),
        ("* REPEAT) * P", "* 1) * P"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "ring_attention", right, wrong)
    query, *rest = inputs("larger than a block", torch.bfloat16)
    with pytest.raises(AssertionError, match="error"):
        parity(
            lambda *x: ring_attention(*x, frequency("larger than a block"), backend="triton"),
            lambda *x: subject.reference(*x, frequency("larger than a block")),
            [4.0 * query, *rest],
        )


@pytest.mark.parametrize("steps", [3, 43])
def test_a_rollout_equals_attention_over_the_whole_past(steps):
    """Window-relative ages give what absolute positions give, before and after the ring is full."""
    B, N, M, G, W, P = 2, 1, 2, 1, 4, 8
    turn = 0.5 ** torch.arange(P // 2)
    query, key, value = draw(
        5, (steps, B, N, M, P), (steps, B, N, G, P), (steps, B, N, G, P), grad=False
    )
    keys, values = torch.zeros(2, B, N, G, W, P)
    for t in range(steps):
        keys[:, :, :, t % W], values[:, :, :, t % W] = key[t], value[t]
    count = torch.full((B,), steps)
    out = ring_attention(query[-1], keys, values, count, turn, backend="triton")
    time = torch.arange(max(0, steps - W), steps)
    turned = rotate(key[time], (time[:, None] * turn)[:, None, None, None])
    asked = rotate(query[-1], (steps - 1) * turn)
    score = torch.einsum("bnmp,tbngp->bnmt", asked, turned) / P**0.5
    expected = torch.einsum("bnmt,tbngp->bnmp", score.softmax(-1), value[time])
    close(out, expected, 1e-5)


def test_a_row_that_was_reset_reads_its_own_new_frame_and_nothing_else():
    query, keys, values, _ = inputs("odd")
    count = torch.tensor([1, 1, 9])
    out = ring_attention(query, keys, values, count, backend="triton")
    for head in range(6):
        close(out[:2, :, head], values[:2, :, head // 3, 0], 1e-6)
    assert not torch.allclose(out[2, :, 0], values[2, :, 0, 0])


def test_one_layer_of_a_whole_ring_is_read_where_it_lies():
    keys, values = draw(3, (2, 3, 2, 1, 4, 8), (2, 3, 2, 1, 4, 8), grad=False)
    query = draw(4, (2, 2, 2, 8), grad=False)[0]
    count = torch.tensor([2, 7])
    out = ring_attention(query, keys[:, 1], values[:, 1], count, backend="triton")
    close(out, subject.reference(query, keys[:, 1], values[:, 1], count), TOLERANCE[out.dtype])


def test_gradients_of_the_reference():
    query, keys, values, count = inputs("odd")
    tensors = [x[:2].double().requires_grad_() for x in (query, keys, values)]
    turn = frequency("odd").double()
    assert torch.autograd.gradcheck(
        lambda *x: subject.reference(*x, count[:2], turn), tensors, fast_mode=True
    )


@pytest.mark.parametrize("turn", [None, torch.rand(3)])
def test_the_operator_is_registered_whole(turn):
    torch.library.opcheck(ring_attention_op, (*inputs("odd"), turn))


def test_what_the_kernel_does_not_do_is_refused_by_name_and_left_to_torch_otherwise():
    query, keys, values, count = inputs("odd")
    with pytest.raises(KernelError, match="do not belong together"):
        ring_attention(query, keys[:1], values, count)
    wide = torch.zeros(1, 1, 1, 1, 512)
    with pytest.raises(KernelError, match="heads of up to 256"):
        ring_attention(torch.zeros(1, 1, 1, 512), wide, wide, count[:1], backend="triton")
    asked = query.clone().requires_grad_()
    with pytest.raises(KernelError, match="has no gradient"):
        ring_attention(asked, keys, values, count, backend="triton")
    ring_attention(asked, keys, values, count).sum().backward()
    assert asked.grad is not None
