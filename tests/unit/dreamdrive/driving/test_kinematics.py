import math

import pytest
import torch

from dreamdrive.driving.comfort import COMFORT_BOUNDS
from dreamdrive.driving.kinematics import BicycleConfig, comfort_signals, drive

DIRECT = BicycleConfig(response_s=0.0)


def actions(steer: float, pedal: float, steps: int) -> torch.Tensor:
    return torch.tensor([steer, pedal]).expand(1, steps, 2)


def test_full_throttle_follows_the_closed_form() -> None:
    motion = drive(actions(0.0, 1.0, 20), torch.tensor([3.0]), DIRECT)
    time_s = 0.1 * torch.arange(1, 21)
    torch.testing.assert_close(motion.speed_mps[0], 3.0 + 4.5 * time_s)
    torch.testing.assert_close(motion.x_m[0], 3.0 * time_s + 0.5 * 4.5 * time_s**2)
    assert motion.y_m.abs().max() == 0.0
    assert motion.yaw_rad.abs().max() == 0.0


def test_the_brake_stops_and_does_not_reverse() -> None:
    motion = drive(actions(0.0, -1.0, 20), torch.tensor([4.0]), DIRECT)
    assert motion.speed_mps[0].tolist() == pytest.approx(
        [3.2, 2.4, 1.6, 0.8] + [0.0] * 16, abs=1e-6
    )
    assert motion.x_m[0, -1].item() == pytest.approx(4.0**2 / (2 * 8.0))
    assert motion.speed_mps.min() >= 0.0
    assert motion.acceleration_mps2[0, 5:].tolist() == pytest.approx([0.0] * 15, abs=1e-5)


def test_positive_steer_turns_left_on_the_bicycle_s_circle() -> None:
    steer, speed = 0.1, 3.0
    motion = drive(actions(steer, 0.0, 200), torch.tensor([speed]), DIRECT)
    radius = 2.9 / math.tan(steer * 1.1)
    assert motion.yaw_rate_radps[0, -1].item() == pytest.approx(speed / radius, rel=1e-5)
    assert motion.y_m[0, 10].item() > 0.0
    yaw = motion.yaw_rad[0]
    torch.testing.assert_close(motion.x_m[0], radius * yaw.sin(), atol=0.02, rtol=0.0)
    torch.testing.assert_close(motion.y_m[0], radius * (1 - yaw.cos()), atol=0.02, rtol=0.0)


def test_mirrored_steer_mirrors_the_path() -> None:
    left = drive(actions(0.3, 0.4, 15), torch.tensor([5.0]), BicycleConfig())
    right = drive(actions(-0.3, 0.4, 15), torch.tensor([5.0]), BicycleConfig())
    torch.testing.assert_close(left.x_m, right.x_m)
    torch.testing.assert_close(left.y_m, -right.y_m)
    torch.testing.assert_close(left.yaw_rad, -right.yaw_rad)


def test_the_tyres_limit_the_turn_at_speed() -> None:
    motion = drive(actions(1.0, 0.0, 5), torch.tensor([20.0]), DIRECT)
    lateral = motion.speed_mps * motion.yaw_rate_radps
    torch.testing.assert_close(lateral, torch.full_like(lateral, 7.8))


def test_actions_take_effect_with_a_lag_that_the_previous_action_fills() -> None:
    lagging = BicycleConfig(response_s=0.1)
    fresh = drive(actions(0.0, 1.0, 3), torch.zeros(1), lagging)
    assert fresh.acceleration_mps2[0].tolist() == pytest.approx([2.25, 3.375, 3.9375])
    settled = drive(actions(0.0, 1.0, 3), torch.zeros(1), lagging, torch.tensor([[0.0, 1.0]]))
    assert settled.acceleration_mps2[0].tolist() == pytest.approx([4.5] * 3)


def test_rows_of_a_batch_do_not_mix() -> None:
    plan = torch.rand(4, 12, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    speed = torch.tensor([0.0, 3.0, 8.0, 15.0])
    together = drive(plan, speed, BicycleConfig())
    for i in range(4):
        alone = drive(plan[i : i + 1], speed[i : i + 1], BicycleConfig())
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b)


def test_gradients_reach_the_actions() -> None:
    plan = torch.full((1, 5, 2), 0.2, requires_grad=True)
    drive(plan, torch.tensor([5.0]), BicycleConfig()).x_m[0, -1].backward()
    assert plan.grad is not None
    assert (plan.grad[0, :, 1] > 0.0).all(), "more throttle at any time goes further"


def test_signals_of_a_steady_circle() -> None:
    motion = drive(actions(0.1, 0.0, 10), torch.tensor([6.0]), DIRECT)
    signals = comfort_signals(motion)[0]
    assert signals.shape == (10, len(COMFORT_BOUNDS))
    rate = 6.0 * math.tan(0.11) / 2.9
    steady = [0.0, 6.0 * rate, rate, 0.0, 0.0, 0.0]
    for row in signals[1:]:
        assert row.tolist() == pytest.approx(steady, abs=1e-4)


def test_a_sudden_brake_shows_as_jerk() -> None:
    plan = torch.cat([actions(0.0, 0.0, 3), actions(0.0, -0.5, 3)], 1)
    signals = comfort_signals(drive(plan, torch.tensor([10.0]), DIRECT))[0]
    names = [bound.name for bound in COMFORT_BOUNDS]
    assert signals[:, names.index("longitudinal_acceleration")].tolist() == pytest.approx(
        [0, 0, 0, -4, -4, -4], abs=1e-4
    )
    jerk = signals[:, names.index("longitudinal_jerk")]
    assert jerk.tolist() == pytest.approx([0, 0, 0, -40, 0, 0], abs=1e-3)
    assert signals[3, names.index("jerk")].item() == pytest.approx(40.0, abs=1e-3)


@pytest.mark.parametrize(
    "changes", [{"wheelbase_m": 0.0}, {"max_steer_rad": 1.6}, {"response_s": -0.1}, {"dt_s": 0.0}]
)
def test_an_impossible_bicycle_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive sizes"):
        BicycleConfig(**changes)
