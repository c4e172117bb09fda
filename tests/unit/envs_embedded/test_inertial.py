"""Inertial units and satellite receivers against closed forms, and their noise."""

import math

import msgpack
import numpy as np
import pytest

from dreamdrive.envs.embedded.sensors import geolocation
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town

TOWN = load_town("Dream01")
CAR = "vehicle.lincoln.mkz_2020"
HEADER = 48


def turning(place=(0.0, 0.0, 0.0, 0.0), tilt=(0.0, 0.0), kind="sensor.other.imu", **attributes):
    """Returns a simulator with a car that goes round in a circle, and a sensor on it."""
    sim = Simulator(TOWN, synchronous=True)
    car = sim.world.spawn(CAR, {}, 5000.0, 5000.0, 0.3, 30.0).id
    attributes = {name: str(value) for name, value in attributes.items()}
    x, y, z, yaw_deg = place
    sensor = sim.world.spawn(kind, attributes, x, y, z, yaw_deg, car, tilt).id
    row = sim.world.vehicles.row[car]
    sim.world.vehicles.steer[row], sim.world.vehicles.throttle[row] = 0.15, 0.6
    for _ in range(120):
        sim.tick()
    return sim, sensor


def message(sim, sensor):
    return msgpack.unpackb(sim.sensed(sensor)[0][HEADER:])


def test_a_lever_arm_feels_the_second_difference_of_its_path():
    sim, sensor = turning((1.5, -0.8, 1.0, 0.0))
    places, dt_s = [np.array(sim.world.place(sensor)[:2])], 0.05
    forces, yaws = [], []
    for _ in range(4):
        sim.tick()
        places.append(np.array(sim.world.place(sensor)[:2]))
        forces.append(message(sim, sensor)[0])
        yaws.append(math.radians(sim.world.place(sensor)[3]))
    for k in (1, 2):
        expected = (places[k + 1] - 2.0 * places[k] + places[k - 1]) / dt_s**2
        halves = [np.array(f[:2]) for f in forces[k - 1 : k + 1]]
        world = [
            (
                f[0] * math.cos(yaw) - f[1] * math.sin(yaw),
                f[0] * math.sin(yaw) + f[1] * math.cos(yaw),
            )
            for f, yaw in zip(halves, yaws[k - 1 : k + 1], strict=True)
        ]
        assert np.mean(world, 0) == pytest.approx(expected, abs=0.15)
    centre = turning()
    assert np.linalg.norm(message(sim, sensor)[0][:2]) > 3.0
    assert abs(message(*centre)[0][0] - message(sim, sensor)[0][0]) > 0.2


def test_a_tilted_unit_feels_gravity_in_its_own_axes():
    sim = Simulator(TOWN, synchronous=True)
    car = sim.world.spawn(CAR, {}, *TOWN.spawn_points[0]).id
    for tilt, expected in (((30.0, 0.0), (0.5, 0.0, 0.866)), ((0.0, 90.0), (0.0, -1.0, 0.0))):
        sensor = sim.world.spawn("sensor.other.imu", {}, 0.0, 0.0, 1.0, 0.0, car, tilt).id
        sim.tick()
        assert np.array(message(sim, sensor)[0]) / 9.81 == pytest.approx(expected, abs=2e-3)
    sim.gravity_mps2 = 3.0
    assert np.linalg.norm(message(sim, sensor)[0]) == pytest.approx(3.0)


def test_the_gyroscope_turns_with_the_unit():
    sim, level = turning()
    car = sim.world.actors[level].parent
    rolled = sim.world.spawn("sensor.other.imu", {}, 0.0, 0.0, 0.0, 0.0, car, (0.0, 90.0)).id
    rate = sim.world.vehicles.yaw_rate[0]
    assert rate > 0.1
    assert message(sim, level)[1] == pytest.approx([0.0, 0.0, rate])
    assert message(sim, rolled)[1] == pytest.approx([0.0, -rate, 0.0])


@pytest.mark.parametrize(
    ("yaw_deg", "compass"), [(-90.0, 0.0), (0.0, 0.5), (90.0, 1.0), (180.0, 1.5), (135.0, 1.25)]
)
def test_the_compass_says_where_the_unit_points(yaw_deg, compass):
    sim = Simulator(TOWN, synchronous=True)
    sensor = sim.world.spawn("sensor.other.imu", {}, 0.0, 0.0, 1.0, yaw_deg).id
    sim.tick()
    assert message(sim, sensor)[2] == pytest.approx(compass * math.pi)


def readings(count=400, **options):
    sim, sensor = turning(**options)
    found = []
    for _ in range(count):
        sim.tick()
        found.append(np.hstack(message(sim, sensor)))
    return np.array(found)


def test_noise_has_its_deviations_and_biases_and_follows_its_seed():
    noise = {"noise_accel_stddev_x": 0.5, "noise_gyro_stddev_z": 0.2, "noise_gyro_bias_y": 0.3,
             "noise_seed": 4}  # fmt: skip
    clean, noisy = readings(), readings(**noise)
    error = noisy - clean
    assert error[:, 0].std() == pytest.approx(0.5, rel=0.15)
    assert error[:, 5].std() == pytest.approx(0.2, rel=0.15)
    assert error[:, 4] == pytest.approx(0.3)
    assert np.all(error[:, [1, 2, 3, 6]] == 0.0)
    assert abs(np.corrcoef(error[:-1, 0], error[1:, 0])[0, 1]) < 0.15
    assert np.array_equal(readings(20, **noise), noisy[:20])
    assert not np.array_equal(readings(20, **{**noise, "noise_seed": 5}), noisy[:20])


def test_receivers_have_noise_and_bias_too():
    noise = {"noise_lat_stddev": 1e-5, "noise_lon_bias": 2e-5, "noise_alt_stddev": 3.0}
    kind = "sensor.other.gnss"
    error = readings(kind=kind, **noise) - readings(kind=kind)
    assert error[:, 0].std() == pytest.approx(1e-5, rel=0.15)
    assert error[:, 1] == pytest.approx(2e-5)
    assert error[:, 2].std() == pytest.approx(3.0, rel=0.15)
    sim, sensor = turning((0.0, 2.0, 0.0, 0.0), kind=kind)
    x, y = sim.world.place(sensor)[:2]
    assert message(sim, sensor)[:2] == pytest.approx(geolocation(x, y, sim.reference), abs=1e-12)


@pytest.mark.parametrize(
    "kind", ["sensor.other.imu", "sensor.other.gnss", "sensor.other.collision", "sensor.camera.rgb"]
)
def test_snapshots_show_sensors_where_they_are(kind):
    sim, sensor = turning((1.5, 0.5, 2.0, 10.0), (-5.0, 0.0), kind)
    statics = sim.world.records()[3]
    row = statics[statics["id"] == sensor][0]
    assert row["location"] == pytest.approx(sim.world.place(sensor)[:3], abs=1e-3)
    car = sim.world.place(sim.world.actors[sensor].parent)
    distance = np.hypot(row["location"][0] - car[0], row["location"][1] - car[1])
    assert distance == pytest.approx(np.hypot(1.5, 0.5), abs=1e-3)
    assert row["rotation"][1] == pytest.approx(car[3] + 10.0, abs=1e-3)
    assert row["rotation"][0] == pytest.approx(-5.0, abs=1e-3)
