from types import SimpleNamespace

import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import int8_linear as subject
from dreamdrive.kernels.int8_linear import (
    Quantised,
    int8_linear,
    int8_linear_op,
    quantise,
    quantise_reference,
)
from support.kernels import DTYPES, close, draw, parity, plant

pytest.importorskip("triton")

# Leading shape, inputs, outputs
CASES = {
    "one": ((1,), 1, 1),
    "odd": ((3, 5), 7, 11),
    "no rows": ((0,), 4, 3),
    "no inputs": ((2,), 0, 3),
    "larger than a block": ((67,), 70, 66),
}


def hold(case, dtype, kind="int8", bias=True):
    leading, num_in, num_out = CASES[case]
    x, weight = draw(0, (*leading, num_in), (num_out, num_in), dtype=dtype)
    quantised = quantise_reference(weight.detach(), kind)
    inputs = [x, *draw(1, (num_out,), dtype=dtype)] if bias else [x]
    parity(
        lambda x, b=None: int8_linear(x, quantised, b, backend="triton"),
        lambda x, b=None: subject.reference(x, *quantised, b),
        inputs,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_kernel_equals_its_reference_forward_and_backward(case, dtype):
    hold(case, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_eight_bit_floats(dtype):
    hold("odd", dtype, "fp8", bias=False)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("total *= scale[None, :]", "total *= 1.0"),
        ("total += product(", "total = product("),
        ("total += bias[None, :]", "total -= bias[None, :]"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "int8_linear", right, wrong)
    with pytest.raises(AssertionError, match="error"):
        hold("larger than a block", torch.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (0, 4), (2, 0), (3, 1030)])
def test_the_quantisers_kernel_makes_the_same_bytes(shape, dtype):
    weight = draw(0, shape, dtype=dtype, grad=False)[0]
    if len(weight) > 1:
        weight[1] = 0.0
    mine, theirs = quantise(weight, backend="triton"), quantise_reference(weight)
    assert torch.equal(mine.weight, theirs.weight)
    torch.testing.assert_close(mine.scale, theirs.scale)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("tl.max(largest, 0) / 127.0", "tl.max(largest, 0) / 128.0"),
        (" + ROUND) - ROUND", ")"),
        ("largest = tl.maximum(largest, tl.abs(weight))", "largest = tl.maximum(largest, weight)"),
    ],
)
def test_a_wrong_quantiser_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "int8_linear", right, wrong)
    weight = draw(0, (3, 40), grad=False)[0]
    mine, theirs = quantise(weight, backend="triton"), quantise_reference(weight)
    assert not torch.equal(mine.weight, theirs.weight)


def test_quantisation_by_hand():
    weight = torch.tensor([[1.27, -0.5, 0.015], [0.0, 0.0, 0.0]])
    quantised = quantise_reference(weight)
    assert quantised.weight.tolist() == [[127, -50, 2], [0, 0, 0]]
    torch.testing.assert_close(quantised.scale, torch.tensor([0.01, 1.0]))


@pytest.mark.parametrize(("kind", "error"), [("int8", 0.5 / 127), ("fp8", 2.0**-4)])
def test_no_weight_is_further_off_than_half_a_step(kind, error):
    weight = draw(0, (5, 64), grad=False)[0]
    quantised = quantise_reference(weight, kind)
    restored = quantised.weight.float() * quantised.scale[:, None]
    largest = weight.abs().amax(1, keepdim=True)
    assert bool(((restored - weight).abs() <= 1.001 * error * largest).all())


def test_gradients_of_the_reference():
    x, weight, bias = draw(0, (3, 4), (5, 4), (5,), dtype=torch.float64)
    quantised = quantise_reference(weight.detach())
    assert torch.autograd.gradcheck(lambda x, b: subject.reference(x, *quantised, b), (x, bias))


@pytest.mark.parametrize("bias", [True, False])
def test_the_operator_is_registered_whole(bias):
    x, weight, offset = draw(0, (3, 4), (5, 4), (5,))
    quantised = quantise_reference(weight.detach())
    torch.library.opcheck(int8_linear_op, (x, *quantised, offset if bias else None))


def test_what_cannot_be_is_refused(monkeypatch):
    weight = draw(0, (5, 4), grad=False)[0]
    quantised = quantise_reference(weight)
    with pytest.raises(KernelError, match=r"3 inputs for weights of \(5, 4\)"):
        int8_linear(torch.zeros(2, 3), quantised)
    with pytest.raises(KernelError, match="'int8' or 'fp8', got 'int4'"):
        quantise(weight, "int4")
    with pytest.raises(KernelError, match="kernel makes int8"):
        quantise(weight, "fp8", backend="triton")
    old = SimpleNamespace(major=8, minor=0, name="An A100")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: old)
    x = SimpleNamespace(
        is_cuda=True, dtype=torch.float32, device=torch.device("cuda"), shape=(2, 4),
        requires_grad=False,
    )  # fmt: skip
    with pytest.raises(KernelError, match=r"need compute capability 8\.9, and An A100 is older"):
        int8_linear(x, quantise_reference(weight, "fp8"), backend="triton")


def test_a_quantised_layer_is_close_to_the_layer():
    layer = torch.nn.Linear(64, 32)
    x = draw(2, (9, 64), grad=False)[0]
    close(int8_linear(x, quantise(layer.weight), layer.bias), layer(x), 2e-2)
    assert isinstance(quantise(layer.weight), Quantised)
