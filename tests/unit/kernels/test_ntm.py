import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import ntm as subject
from dreamdrive.kernels.ntm import Controls, ntm_op, ntm_step
from support.kernels import DTYPES, close, draw, parity, plant

pytest.importorskip("triton")

# B, N, C
CASES = {
    "one": (1, 1, 1), "two slots": (2, 2, 3), "odd": (3, 5, 7), "empty": (0, 4, 8),
    "large": (1, 33, 70),
}  # fmt: skip


def inputs(case, dtype=torch.float32):
    B, N, C = CASES[case]
    heads = (B, 2)
    memory, before, key, strength, gate, shift, sharpness, erase, add = draw(
        0, (B, N, C), (*heads, N), (*heads, C), heads, heads, (*heads, 3), heads, (B, C), (B, C),
        grad=False,
    )  # fmt: skip
    made = [
        memory, before.softmax(-1), key, 1.0 + strength.abs(), gate.sigmoid(),
        shift.softmax(-1), 1.0 + sharpness.abs(), erase.sigmoid(), add,
    ]  # fmt: skip
    return [x.to(dtype).requires_grad_() for x in made]


def hold(case, dtype):
    parity(
        lambda m, b, *c: tuple(ntm_step(m, b, Controls(*c), backend="triton")),
        lambda m, b, *c: tuple(subject.reference(m, b, Controls(*c))),
        inputs(case, dtype),
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_kernel_equals_its_reference_forward_and_backward(case, dtype):
    hold(case, dtype)


@pytest.mark.parametrize(
    ("module", "right", "wrong"),
    [
        ("ntm", "tl.where(moved == 1 % N, forth, 0.0)", "tl.where(moved == 1 % N, back, 0.0)"),
        ("ntm", "(1.0 - weight[:, None] * erase[None, :])", "(1.0 - erase[None, :])"),
        ("ntm", "gate * content + (1.0 - gate)", "gate * content + gate"),
        ("ntm_backward", "sharpness * turned / lifted", "turned / lifted"),
        ("ntm_backward", "(content - before)", "content"),
        ("ntm_backward", "- along_slots[:, None]", "+ along_slots[:, None]"),
        ("ntm_backward", "grad, after, before_ptr", "grad, memory, before_ptr"),
        ("ntm_backward", "matrix * grad_shifted[:, None]", "matrix * grad_shifted[None, :]"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, module, right, wrong):
    plant(monkeypatch, tmp_path, module, right, wrong)
    with pytest.raises(AssertionError, match="error"):
        hold("odd", torch.bfloat16)


def step_by_hand(shift, gate=0.0, sharpness=1.0, strength=1.0):
    """One step over four slots of two channels, both heads alike and first at slot 1."""
    memory = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]])
    before = torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(1, 2, 4)
    heads = torch.ones(1, 2)
    controls = Controls(
        torch.tensor([-1.0, 0.0]).expand(1, 2, 2), strength * heads, gate * heads,
        torch.tensor(shift).expand(1, 2, 3), sharpness * heads,
        torch.tensor([[1.0, 0.5]]), torch.tensor([[5.0, 7.0]]),
    )  # fmt: skip
    return ntm_step(memory, before, controls, backend="triton")


def test_a_shift_forth_by_hand():
    read, memory, weight = step_by_hand((0.0, 0.0, 1.0))
    close(weight[0], torch.tensor([[0.0, 0.0, 1.0, 0.0]] * 2), 1e-6)
    # What is read is what was written a moment ago.
    close(read, torch.tensor([[5.0, 7.0]]), 1e-6)
    # Slot 2 held (-1, 0): the first channel is erased whole, the second by half, then added to.
    expected = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [5.0, 7.0], [0.0, -1.0]]])
    close(memory, expected, 1e-6)


def test_a_shift_back_and_a_look_by_content_by_hand():
    _, _, weight = step_by_hand((0.5, 0.5, 0.0))
    close(weight[0, 0], torch.tensor([0.5, 0.5, 0.0, 0.0]), 1e-6)
    _, _, weight = step_by_hand((0.0, 1.0, 0.0), gate=1.0, strength=30.0)
    close(weight[0, 0], torch.tensor([0.0, 0.0, 1.0, 0.0]), 1e-6)
    _, _, blurred = step_by_hand((0.1, 0.8, 0.1))
    _, _, sharp = step_by_hand((0.1, 0.8, 0.1), sharpness=3.0)
    close(blurred[0, 0], torch.tensor([0.1, 0.8, 0.1, 0.0]), 1e-6)
    assert sharp[0, 0, 1] > 0.99


def test_what_was_never_written_has_a_direction_and_nothing_has_none():
    """Slots begin with tiny values, whose cosines count; zeros are like nothing."""
    memory = torch.zeros(1, 3, 2)
    memory[0, 0] = 1e-6
    heads = torch.ones(1, 2)
    controls = Controls(
        torch.ones(1, 2, 2), 5.0 * heads, heads, torch.tensor([0.0, 1.0, 0.0]).expand(1, 2, 3),
        heads, torch.zeros(1, 2), torch.zeros(1, 2),
    )  # fmt: skip
    _, _, weight = ntm_step(memory, torch.zeros(1, 2, 3), controls, backend="triton")
    expected = torch.tensor([5.0, 0.0, 0.0]).softmax(0)
    close(weight[0, 0], expected, 1e-5)


def test_weights_sum_to_one():
    _, _, weight = ntm_step(*inputs("large")[:2], Controls(*inputs("large")[2:]), backend="triton")
    close(weight.sum(-1), torch.ones(1, 2), 1e-5)


def test_gradients_of_the_reference():
    tensors = inputs("odd", torch.float64)
    assert torch.autograd.gradcheck(
        lambda m, b, *c: tuple(subject.reference(m, b, Controls(*c))), tensors
    )


@pytest.mark.parametrize(
    "check",
    [
        "test_schema",
        "test_autograd_registration",
        "test_faketensor",
        pytest.param("test_aot_dispatch_dynamic", marks=pytest.mark.slow),
    ],
)
def test_the_operator_is_registered_whole(check):
    torch.library.opcheck(ntm_op, tuple(inputs("two slots")), test_utils=check)


def test_what_cannot_be_is_refused():
    memory, before, *controls = inputs("odd")
    with pytest.raises(KernelError, match="does not belong to controls"):
        ntm_step(memory, before[:, :1], Controls(*controls))
    many = torch.zeros(1, 130, 1)
    heads = torch.zeros(1, 2)
    wide = Controls(
        torch.zeros(1, 2, 1), heads, heads, torch.zeros(1, 2, 3), heads, many[:, 0], many[:, 0]
    )
    with pytest.raises(KernelError, match="up to 64 slots and 8192 values, got 130 and 130"):
        ntm_step(many, torch.zeros(1, 2, 130), wide, backend="triton")
