import pytest
import torch

from dreamdrive.worldmodel import path


def test_the_ends_of_the_path_are_noise_and_data() -> None:
    noise, data = torch.tensor([1.0]), torch.tensor([5.0])
    assert path.interpolate(noise, data, torch.tensor(0.0)).item() == 1.0
    assert path.interpolate(noise, data, torch.tensor(1.0)).item() == 5.0
    assert path.interpolate(noise, data, torch.tensor(0.25)).item() == 2.0


@pytest.mark.parametrize("tau", [0.0, 0.3, 0.9])
def test_conversions_are_inverse(tau: float) -> None:
    generator = torch.Generator().manual_seed(0)
    noise, data = torch.randn(2, 5, generator=generator)
    now = torch.tensor(tau)
    z = path.interpolate(noise, data, now)
    velocity = path.velocity_from_data(data, z, now)
    torch.testing.assert_close(velocity, data - noise, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(path.data_from_velocity(velocity, z, now), data)
    torch.testing.assert_close(path.implied_noise(data, z, now), noise, atol=1e-4, rtol=1e-4)


def test_sigma_form_is_the_same_step() -> None:
    z, data, now = torch.tensor([0.5]), torch.tensor([2.0]), torch.tensor(0.5)
    euler = path.euler_step(data, z, now, 0.25)
    f = -path.velocity_from_data(data, z, now)
    torch.testing.assert_close(path.sigma_step(f, z, 0.25), euler)
    assert euler.item() == pytest.approx(0.5 + 0.25 * 3.0)


def test_euler_steps_to_a_fixed_prediction_arrive_at_it() -> None:
    z, data = torch.tensor([-3.0]), torch.tensor([2.0])
    for i in range(4):
        z = path.euler_step(data, z, torch.tensor(i / 4), 0.25)
    torch.testing.assert_close(z, data)
