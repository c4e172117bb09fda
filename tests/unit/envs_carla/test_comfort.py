import numpy as np
import pytest

from dreamdrive.envs.carla.comfort import (
    COMFORT_HIGH,
    COMFORT_LOW,
    ComfortMeter,
    comfort_cost,
    count_violations,
    progress_cost,
    speeding_cost,
)
from dreamdrive.envs.carla.scene import EgoPose


def ego(speed, yaw_rate=0.0) -> EgoPose:
    return EgoPose(
        x=0.0, y=0.0, yaw_rad=0.0, speed_mps=speed, yaw_rate_radps=yaw_rate,
        half_length_m=2.4, half_width_m=1.0,
    )  # fmt: skip


def test_constant_speed_straight_ahead_costs_nothing():
    meter = ComfortMeter()
    for _ in range(10):
        signals = meter.update(ego(8.0))
    np.testing.assert_array_equal(signals, np.zeros(6))
    assert comfort_cost(signals) == 0.0
    assert count_violations(signals) == 0


def test_constant_acceleration_is_measured():
    meter = ComfortMeter()
    for k in range(10):
        signals = meter.update(ego(0.3 * k))
    assert signals[0] == pytest.approx(3.0)
    assert signals[4] == pytest.approx(0.0, abs=1e-9)
    assert count_violations(signals) == 1


def test_a_steady_turn_has_lateral_acceleration_and_no_jerk():
    meter = ComfortMeter()
    for _ in range(10):
        signals = meter.update(ego(10.0, 0.5))
    assert signals[1] == pytest.approx(5.0)
    assert signals[2] == pytest.approx(0.5)
    assert signals[5] == pytest.approx(0.0, abs=1e-9)
    assert count_violations(signals) == 1


def test_a_full_stop_breaks_the_braking_and_jerk_bounds():
    meter = ComfortMeter()
    for speed in (10.0, 10.0, 10.0, 10.0, 9.2, 8.4):
        signals = meter.update(ego(speed))
    assert signals[0] == pytest.approx(-8.0)
    assert count_violations(signals) == 3


@pytest.mark.parametrize("bound", [COMFORT_LOW, COMFORT_HIGH])
def test_cost_at_the_bounds_is_the_small_part_alone(bound):
    used = np.array([2]) if bound is COMFORT_LOW else np.arange(6)
    signals = np.zeros(6)
    signals[used] = bound[used]
    assert comfort_cost(signals) == pytest.approx(0.05 * len(used) / 6)
    assert comfort_cost(2 * signals) == pytest.approx((1.0 + 0.05 * 4) * len(used) / 6)


def test_progress_and_speeding_costs():
    assert progress_cost(0.0, 8.0) == 1.0
    assert progress_cost(0.4, 8.0) == pytest.approx(0.5)
    assert progress_cost(2.0, 8.0) == 0.0
    assert speeding_cost(8.0, 8.33) == 0.0
    assert speeding_cost(8.33 + 2.23 / 2, 8.33) == pytest.approx(0.5)
    assert speeding_cost(30.0, 8.33) == 1.0
