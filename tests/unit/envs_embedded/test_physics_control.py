"""What a vehicle does after it was told its physics, against closed forms."""

import numpy as np
import pytest

from dreamdrive.envs.embedded import bodies, dynamics
from dreamdrive.envs.embedded.blueprints import VEHICLES
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.vehicle_calls import VehicleCalls
from dreamdrive.envs.embedded.wet_roads import DRY

CAR, DT_S = "vehicle.lincoln.mkz_2020", 0.01
MODEL = VEHICLES[CAR]
LOSSES = dynamics.ROLLING_MPS2


def told(**changes):
    """Returns the rows of a vehicle far from everything, after changes of its physics."""
    sim = Simulator(load_town("Dream01"), synchronous=True)
    car = sim.world.spawn(CAR, {}, 3000.0, 3000.0, 0.3, 0.0).id
    calls = VehicleCalls(sim)
    before = sim.world.vehicles.state.copy()
    control = calls.get_physics_control(car)[0][1]
    for name, value in changes.items():
        if name in ("friction", "radius", "brake_torque"):
            for wheel in control[15]:
                wheel[{"friction": 0, "radius": 3, "brake_torque": 4}[name]] *= value
        elif name == "torque":
            control[0] = [[rpm, value * torque] for rpm, torque in control[0]]
        elif name == "gear":
            control[10] = [[value, 0.5, 0.65], [1.0, 0.5, 0.65]]
        else:
            control[{"final": 9, "mass": 11, "drag": 12}[name]] *= value
    calls.apply_physics_control(car, control)
    return sim.world.vehicles.state, before


def run(cars, seconds, **values):
    for name, value in values.items():
        cars[name] = value
    for _ in range(round(seconds / DT_S)):
        dynamics.drive(cars, DRY, DT_S)
    return float(np.hypot(*cars["velocity"][0]))


def test_what_a_vehicle_tells_changes_nothing_when_it_is_told_back():
    after, before = told()
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("friction", [1.0, 0.5, 0.25])
def test_the_largest_cornering_acceleration_is_that_of_the_tyres(friction):
    cars, _ = told(friction=friction)
    run(cars, 2.0, velocity=(20.0, 0.0), constant=(20.0, 0.0, 1.0), steer=0.5)
    assert 20.0 * cars["yaw_rate"][0] == pytest.approx(friction * bodies.GRIP_MPS2, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "brakes"),
    [({}, 8.0), ({"friction": 0.5}, 4.0), ({"brake_torque": 0.25}, 2.0), ({"mass": 2.0}, 4.0),
     ({"brake_torque": 3.0}, 8.0)],
)  # fmt: skip
def test_stopping_distance(changes, brakes):
    """d = ln(1 + k v² / a) / (2 k), with k the drag and a all that slows a vehicle at rest."""
    cars, _ = told(**changes)
    k = float(cars["drag"][0])
    slows = brakes + LOSSES + dynamics.ENGINE_BRAKE_MPS2
    run(cars, 20.0, velocity=(20.0, 0.0), brake=1.0)
    expected = np.log(1.0 + k * 20.0**2 / slows) / (2.0 * k)
    assert cars["pose"][0, 0] - 3000.0 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "share"),
    [({}, 1.0), ({"torque": 0.5}, 0.5), ({"final": 0.75}, 0.75), ({"gear": 1.5}, 1.5),
     ({"radius": 2.0}, 0.5), ({"mass": 2.0}, 0.5)],
)  # fmt: skip
def test_pull_from_rest(changes, share):
    cars, _ = told(**changes)
    speed = run(cars, 0.5, throttle=1.0)
    expected = 0.5 * (bodies.MAX_DRIVE_MPS2 * share - LOSSES)
    assert speed == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("changes", [{}, {"drag": 4.0}, {"torque": 0.3}, {"mass": 1.5}])
def test_terminal_speed(changes):
    """Power is what rolling and the air take: P / m = a v + k v³."""
    cars, _ = told(**changes)
    speed = run(cars, 400.0, throttle=1.0)
    k = bodies.DRAG_PER_M * changes.get("drag", 1.0) / changes.get("mass", 1.0)
    power = MODEL.power_w * changes.get("torque", 1.0)
    given = power / (MODEL.mass_kg * changes.get("mass", 1.0))
    assert LOSSES * speed + k * speed**3 == pytest.approx(given, rel=0.02)
