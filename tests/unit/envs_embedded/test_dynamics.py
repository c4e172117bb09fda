import numpy as np
import pytest

from dreamdrive.envs.embedded import dynamics

DT_S = 0.01
WHEELBASE_M = 2.8
MASS_KG, POWER_W = 1500.0, 90e3


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def drive(seconds, *, speed=0.0, steer=0.0, throttle=0.0, brake=0.0, hand_brake=0.0, reverse=0.0):
    """Returns poses and velocities after every step of one vehicle."""
    pose, velocity = np.zeros((1, 3)), np.array([[speed, 0.0]])
    poses, velocities = [pose], [velocity]
    for _ in range(round(seconds / DT_S)):
        u = velocity[:, 0] * np.cos(pose[:, 2]) + velocity[:, 1] * np.sin(pose[:, 2])
        acceleration = dynamics.longitudinal_acceleration(
            u, column(throttle), column(brake), column(hand_brake), column(reverse),
            column(MASS_KG), column(POWER_W), DT_S,
        )  # fmt: skip
        pose, velocity, _ = dynamics.step(
            pose, velocity, column(steer), acceleration, column(WHEELBASE_M), column(1.2), DT_S
        )
        poses.append(pose)
        velocities.append(velocity)
    return np.concatenate(poses), np.concatenate(velocities)


def at_constant_speed(seconds, speed, steer, max_steer=0.5):
    pose, velocity = np.zeros((1, 3)), np.array([[speed, 0.0]])
    poses = [pose[0]]
    for _ in range(round(seconds / DT_S)):
        pose, velocity, rate = dynamics.step(
            pose, velocity, column(steer), column(0.0), column(WHEELBASE_M), column(max_steer), DT_S
        )
        poses.append(pose[0])
    return np.array(poses), velocity[0], float(rate[0])


@pytest.mark.parametrize("steer", [0.1, 0.4, 1.0])
def test_a_slow_circle_has_the_radius_of_the_bicycle(steer):
    speed = 1.0
    poses, _, rate = at_constant_speed(40.0, speed, steer)
    delta = steer * 0.5 * np.interp(speed, *dynamics.STEERING_CURVE)
    rear = WHEELBASE_M / np.tan(delta)
    expected = np.hypot(rear, WHEELBASE_M / 2)
    x, y = poses[200:, 0], poses[200:, 1]
    # A circle through all points, by least squares of x^2 + y^2 = 2ax + 2by + c.
    a, b, c = np.linalg.lstsq(np.stack([2 * x, 2 * y, np.ones_like(x)], 1), x**2 + y**2)[0]
    assert np.sqrt(c + a**2 + b**2) == pytest.approx(expected, rel=0.01)
    assert rate == pytest.approx(speed / rear, rel=0.01)


def test_steering_to_the_right_turns_clockwise_from_above():
    poses, _, _ = at_constant_speed(1.0, 3.0, 0.5)
    assert poses[-1, 1] > 0.1
    assert poses[-1, 2] > 0.1
    mirrored, _, _ = at_constant_speed(1.0, 3.0, -0.5)
    np.testing.assert_allclose(mirrored, poses * [1, -1, -1], atol=1e-12)


def test_at_speed_the_grip_of_the_tyres_limits_the_turn():
    speed = 20.0
    _, _, rate = at_constant_speed(0.5, speed, 1.0)
    assert rate * speed == pytest.approx(dynamics.GRIP_MPS2, rel=1e-6)


@pytest.mark.parametrize("speed", [5.0, 15.0])
def test_full_brake_stops_in_the_distance_of_constant_deceleration(speed):
    poses, velocities = drive(5.0, speed=speed, brake=1.0)
    constant = dynamics.MAX_BRAKE_MPS2 + dynamics.ROLLING_MPS2 + dynamics.ENGINE_BRAKE_MPS2
    k = dynamics.DRAG_PER_M
    expected = np.log(1.0 + k * speed**2 / constant) / (2.0 * k)
    assert poses[-1, 0] == pytest.approx(expected, abs=0.02)
    assert velocities[-1, 0] == 0.0


def test_brakes_never_turn_a_vehicle_round():
    _, velocities = drive(3.0, speed=0.3, brake=1.0, hand_brake=1.0)
    assert velocities.min() == 0.0


def test_throttle_from_standstill_is_limited_by_the_tyres():
    _, velocities = drive(1.0, throttle=1.0)
    gained = dynamics.MAX_DRIVE_MPS2 - dynamics.ROLLING_MPS2
    assert velocities[-1, 0] == pytest.approx(gained, rel=0.01)
    _, backwards = drive(1.0, throttle=1.0, reverse=1.0)
    assert backwards[-1, 0] == pytest.approx(-velocities[-1, 0])


def test_top_speed_is_where_power_meets_drag():
    _, velocities = drive(60.0, speed=45.0, throttle=1.0)
    top = velocities[-1, 0]
    losses = dynamics.ROLLING_MPS2 + dynamics.DRAG_PER_M * top**2
    assert top * losses == pytest.approx(POWER_W / MASS_KG, rel=0.01)


def test_coasting_slows_by_rolling_engine_and_air():
    _, velocities = drive(0.01, speed=20.0)
    loss = dynamics.ROLLING_MPS2 + dynamics.ENGINE_BRAKE_MPS2 + dynamics.DRAG_PER_M * 400.0
    assert 20.0 - velocities[-1, 0] == pytest.approx(loss * DT_S)


def test_a_sideways_slide_ends_by_friction():
    pose, velocity = np.zeros((1, 3)), np.array([[0.0, 3.5]])
    for _ in range(round(0.5 / DT_S)):
        pose, velocity, _ = dynamics.step(
            pose, velocity, column(0.0), column(0.0), column(WHEELBASE_M), column(1.0), DT_S
        )
    assert abs(velocity[0, 1]) < 1e-9
    assert pose[0, 1] == pytest.approx(3.5**2 / (2 * dynamics.SLIDE_MPS2), abs=0.02)


def test_a_fleet_moves_as_its_vehicles_do_alone():
    rng = np.random.default_rng(0)
    n = 7
    pose, velocity = rng.normal(size=(n, 3)), rng.normal(size=(n, 2)) * 5
    steer, push = rng.uniform(-1, 1, n), rng.normal(size=n)
    base, most = rng.uniform(2.4, 3.2, n), rng.uniform(0.5, 1.2, n)
    together = dynamics.step(pose, velocity, steer, push, base, most, 0.05)
    for i in range(n):
        k = slice(i, i + 1)
        alone = dynamics.step(pose[k], velocity[k], steer[k], push[k], base[k], most[k], 0.05)
        for a, b in zip(alone, together, strict=True):
            np.testing.assert_allclose(a[0], b[i], rtol=1e-12, atol=1e-12)
