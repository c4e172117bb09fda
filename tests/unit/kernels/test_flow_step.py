import pytest
import torch

from dreamdrive.errors import KernelError
from dreamdrive.kernels import flow_step as subject
from dreamdrive.kernels.flow_step import flow_step, flow_step_op
from support.kernels import DTYPES, close, draw, parity, plant

pytest.importorskip("triton")

SHAPES = [(1,), (3, 5, 7), (0, 4), (2, 0), (3, 1030)]


def times(shape):
    return torch.linspace(0.0, 0.8, shape[0]).view(-1, *[1] * (len(shape) - 1))


@pytest.mark.parametrize("form", ["x", "v"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_equals_its_reference_forward_and_backward(shape, dtype, form):
    for tau in (times(shape), torch.tensor(0.25)):
        parity(
            lambda *x, tau=tau: flow_step(*x, tau, 0.2, form=form, backend="triton"),
            lambda *x, tau=tau: subject.reference(*x, tau, 0.2, form),
            draw(0, shape, shape, dtype=dtype),
        )


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("prediction = step / (1.0 - tau)", "prediction = step / (1.0 + tau)"),
        ("(at // E) * tau_stride", "(at // E) * 0"),
        ("(grad - grad * back)", "grad"),
        ("forth * prediction - back * z", "forth * prediction"),
    ],
)
def test_a_wrong_kernel_is_noticed(monkeypatch, tmp_path, right, wrong):
    plant(monkeypatch, tmp_path, "flow_step", right, wrong)
    with pytest.raises(AssertionError, match="error"):
        parity(
            lambda *x: flow_step(*x, times((3, 5)), 0.2, backend="triton"),
            lambda *x: subject.reference(*x, times((3, 5)), 0.2),
            draw(0, (3, 5), (3, 5), dtype=torch.bfloat16),
        )


def test_a_step_takes_the_noise_that_z_implies_and_not_the_first_one():
    data, z = draw(0, (4,), (4,), grad=False)
    tau, step = 0.25, 0.5
    noise = (z - tau * data) / (1.0 - tau)
    expected = (1.0 - tau - step) * noise + (tau + step) * data
    close(flow_step(data, z, torch.tensor(tau), step, backend="triton"), expected, 1e-6)


def test_steps_to_a_fixed_prediction_arrive_at_it_from_either_form():
    data, noise = draw(1, (2, 3), (2, 3), grad=False)
    by_data, by_velocity = noise, noise
    for i in range(8):
        tau = torch.tensor(i / 8)
        by_data = flow_step(data, by_data, tau, 1 / 8, backend="triton")
        velocity = (data - by_velocity) / (1.0 - tau)
        by_velocity = flow_step(velocity, by_velocity, tau, 1 / 8, form="v", backend="triton")
    close(by_data, data, 1e-6)
    close(by_velocity, data, 1e-6)


@pytest.mark.parametrize("form", ["x", "v"])
def test_gradients_of_the_reference(form):
    values = draw(0, (3, 4), (3, 4), dtype=torch.float64)
    tau = times((3, 4)).double()
    assert torch.autograd.gradcheck(lambda *x: subject.reference(*x, tau, 0.1, form), values)


@pytest.mark.parametrize("of_data", [True, False])
def test_the_operator_is_registered_whole(of_data):
    torch.library.opcheck(flow_step_op, (*draw(0, (3, 4), (3, 4)), torch.rand(3), 0.1, of_data))


def test_what_cannot_be_is_refused():
    x, z = draw(0, (3, 4), (3, 4))
    with pytest.raises(KernelError, match=r"A prediction of \(3, 4\) for \(3, 2\)"):
        flow_step(x, z[:, :2], torch.tensor(0.0), 0.1)
    with pytest.raises(KernelError, match="form must be 'x' or 'v', got 'eps'"):
        flow_step(x, z, torch.tensor(0.0), 0.1, form="eps")
    with pytest.raises(KernelError, match="one flow time or one a row"):
        flow_step(x, z, torch.zeros(3, 4), 0.1, backend="triton")
    with pytest.raises(KernelError, match="no gradient in the flow time"):
        flow_step(x, z, torch.zeros(3, 1, requires_grad=True), 0.1, backend="triton")
