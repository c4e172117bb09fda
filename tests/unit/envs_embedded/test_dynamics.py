import numpy as np
import pytest

from dreamdrive.envs.embedded import bodies, dynamics, walking
from dreamdrive.envs.embedded.bodies import TUNING, VEHICLE_STATE, WALKER_STATE
from dreamdrive.envs.embedded.wet_roads import DRY

DT_S = 0.01
WHEELBASE_M = 2.8
MASS_KG, POWER_W = 1500.0, 90e3


def fleet(count=1, **values):
    """Returns vehicles with physics that stand at the origin, but for the given values."""
    cars = np.zeros(count, VEHICLE_STATE)
    cars["physics"], cars["wheelbase"], cars["max_steer"] = 1.0, WHEELBASE_M, 1.2
    cars["mass"], cars["power"] = MASS_KG, POWER_W
    cars["grip"], cars["pull"] = bodies.GRIP_MPS2, bodies.MAX_DRIVE_MPS2
    cars["brakes"], cars["drag"] = bodies.MAX_BRAKE_MPS2, bodies.DRAG_PER_M
    for name, value in values.items():
        cars[name] = value
    return cars


def drive(seconds, **values):
    """Returns poses and velocities after every step of one vehicle."""
    cars = fleet(**values)
    poses, velocities = [cars["pose"][0].copy()], [cars["velocity"][0].copy()]
    for _ in range(round(seconds / DT_S)):
        dynamics.drive(cars, np.zeros(len(cars), TUNING), DRY, DT_S)
        poses.append(cars["pose"][0].copy())
        velocities.append(cars["velocity"][0].copy())
    return np.array(poses), np.array(velocities)


def at_constant_speed(seconds, speed, steer):
    """Returns the poses of a vehicle after every step, and its last yaw rate."""
    cars = fleet(velocity=(speed, 0.0), constant=(speed, 0.0, 1.0), steer=steer, max_steer=0.5)
    poses = [cars["pose"][0].copy()]
    for _ in range(round(seconds / DT_S)):
        dynamics.drive(cars, np.zeros(len(cars), TUNING), DRY, DT_S)
        poses.append(cars["pose"][0].copy())
    return np.array(poses), float(cars["yaw_rate"][0])


@pytest.mark.parametrize("steer", [0.1, 0.4, 1.0])
def test_a_slow_circle_has_the_radius_of_the_bicycle(steer):
    speed = 1.0
    poses, rate = at_constant_speed(40.0, speed, steer)
    delta = steer * 0.5 * np.interp(speed, *dynamics.STEERING_CURVE)
    rear = WHEELBASE_M / np.tan(delta)
    expected = np.hypot(rear, WHEELBASE_M / 2)
    x, y = poses[200:, 0], poses[200:, 1]
    # A circle through all points, by least squares of x^2 + y^2 = 2ax + 2by + c.
    a, b, c = np.linalg.lstsq(np.stack([2 * x, 2 * y, np.ones_like(x)], 1), x**2 + y**2)[0]
    assert np.sqrt(c + a**2 + b**2) == pytest.approx(expected, rel=0.01)
    assert rate == pytest.approx(speed / rear, rel=0.01)


def test_steering_to_the_right_turns_clockwise_from_above():
    poses, _ = at_constant_speed(1.0, 3.0, 0.5)
    assert poses[-1, 1] > 0.1
    assert poses[-1, 2] > 0.1
    mirrored, _ = at_constant_speed(1.0, 3.0, -0.5)
    np.testing.assert_allclose(mirrored, poses * [1, -1, -1], atol=1e-12)


def test_at_speed_the_grip_of_the_tyres_limits_the_turn():
    speed = 20.0
    _, rate = at_constant_speed(0.5, speed, 1.0)
    assert rate * speed == pytest.approx(bodies.GRIP_MPS2, rel=1e-6)


@pytest.mark.parametrize("speed", [5.0, 15.0])
def test_full_brake_stops_in_the_distance_of_constant_deceleration(speed):
    poses, velocities = drive(5.0, velocity=(speed, 0.0), brake=1.0)
    constant = bodies.MAX_BRAKE_MPS2 + dynamics.ROLLING_MPS2 + dynamics.ENGINE_BRAKE_MPS2
    k = bodies.DRAG_PER_M
    expected = np.log(1.0 + k * speed**2 / constant) / (2.0 * k)
    assert poses[-1, 0] == pytest.approx(expected, abs=0.02)
    assert velocities[-1, 0] == 0.0


def test_brakes_never_turn_a_vehicle_round():
    _, velocities = drive(3.0, velocity=(0.3, 0.0), brake=1.0, hand_brake=1.0)
    assert velocities.min() == 0.0


def test_throttle_from_standstill_is_limited_by_the_tyres():
    _, velocities = drive(1.0, throttle=1.0)
    gained = bodies.MAX_DRIVE_MPS2 - dynamics.ROLLING_MPS2
    assert velocities[-1, 0] == pytest.approx(gained, rel=0.01)
    _, backwards = drive(1.0, throttle=1.0, reverse=1.0)
    assert backwards[-1, 0] == pytest.approx(-velocities[-1, 0])


def test_top_speed_is_where_power_meets_drag():
    _, velocities = drive(60.0, velocity=(45.0, 0.0), throttle=1.0)
    top = velocities[-1, 0]
    losses = dynamics.ROLLING_MPS2 + bodies.DRAG_PER_M * top**2
    assert top * losses == pytest.approx(POWER_W / MASS_KG, rel=0.01)


def test_coasting_slows_by_rolling_engine_and_air():
    _, velocities = drive(0.01, velocity=(20.0, 0.0))
    loss = dynamics.ROLLING_MPS2 + dynamics.ENGINE_BRAKE_MPS2 + bodies.DRAG_PER_M * 400.0
    assert 20.0 - velocities[-1, 0] == pytest.approx(loss * DT_S)


def test_a_sideways_slide_ends_by_friction():
    poses, velocities = drive(0.5, velocity=(0.0, 3.5))
    assert abs(velocities[-1, 1]) < 1e-9
    assert poses[-1, 1] == pytest.approx(3.5**2 / (2 * dynamics.SLIDE_MPS2), abs=0.02)


def random_fleet(count):
    rng = np.random.default_rng(0)
    return fleet(
        count, pose=rng.normal(size=(count, 3)), velocity=5.0 * rng.normal(size=(count, 2)),
        steer=rng.uniform(-1, 1, count), throttle=rng.uniform(-0.5, 1, count).clip(0.0),
        wheelbase=rng.uniform(2.4, 3.2, count), max_steer=rng.uniform(0.5, 1.2, count),
    )  # fmt: skip


def test_a_fleet_moves_as_its_vehicles_do_alone():
    together, alone = random_fleet(7), random_fleet(7)
    dynamics.drive(together, np.zeros(len(together), TUNING), DRY, 0.05)
    for i in range(len(alone)):
        dynamics.drive(alone[i : i + 1], np.zeros(1, TUNING), DRY, 0.05)
    np.testing.assert_array_equal(together, alone)


def test_without_physics_a_vehicle_stands_where_it_is():
    cars, before = random_fleet(3), random_fleet(3)
    cars["physics"][1] = 0.0
    dynamics.drive(cars, np.zeros(len(cars), TUNING), DRY, 0.05)
    np.testing.assert_array_equal(cars["pose"][1], before["pose"][1])
    assert not cars["velocity"][1].any()
    assert cars["yaw_rate"][1] == 0.0
    assert (cars["pose"] != before["pose"]).all(1).tolist() == [True, False, True]


def test_the_acceleration_is_the_change_of_velocity():
    cars = random_fleet(3)
    before = cars["velocity"].copy()
    dynamics.drive(cars, np.zeros(len(cars), TUNING), DRY, 0.05)
    dynamics.accelerate(cars, before, 0.05)
    np.testing.assert_allclose(before + 0.05 * cars["acceleration"], cars["velocity"], atol=1e-12)


def test_walkers_go_along_their_directions_and_look_there():
    walkers = np.zeros(3, WALKER_STATE)
    walkers["pose"][:, 2] = 0.3
    walkers["direction"] = (0.0, -2.0, 0.0), (1.0, 0.0, 0.0), (3.0, 4.0, 0.0)
    walkers["speed"], walkers["physics"] = (1.5, 0.0, 2.0), (1.0, 1.0, 0.0)
    walking.walk(walkers, 0.5)
    # The third has no physics: who leads it says where it is, and how fast it goes.
    expected = [[0.0, -0.75, -np.pi / 2], [0.0, 0.0, 0.3], [0.0, 0.0, 0.3]]
    np.testing.assert_allclose(walkers["pose"], expected, atol=1e-12)
    np.testing.assert_allclose(walkers["velocity"], [[0.0, -1.5], [0.0, 0.0], [1.2, 1.6]])
