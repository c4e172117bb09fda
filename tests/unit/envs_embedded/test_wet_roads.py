"""What wet roads leave of a tyre's grip, against the published table and closed forms."""

import numpy as np
import pytest

from dreamdrive.envs.embedded import bodies, dynamics
from dreamdrive.envs.embedded.bodies import TUNING, VEHICLE_STATE
from dreamdrive.envs.embedded.simulator import CLEAR_NOON, Simulator
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.wet_roads import DRY, kept_grip
from dreamdrive.envs.embedded.world import World

DT_S = 0.005
TOWN = load_town("Dream01")


def weather(**values):
    found = list(CLEAR_NOON)
    for name, value in values.items():
        found[{"rain": 1, "puddles": 2, "wetness": 9}[name]] = value
    return found


RAIN, WET, FLOODED = weather(rain=100.0), weather(wetness=100.0), weather(puddles=100.0)


def car(**values):
    cars = np.zeros(1, VEHICLE_STATE)
    cars["physics"], cars["wheelbase"], cars["max_steer"] = 1.0, 2.8, 1.2
    cars["mass"], cars["power"], cars["grip"] = 1500.0, 400e3, bodies.GRIP_MPS2
    cars["traction"] = bodies.MAX_BRAKE_MPS2
    cars["brakes"], cars["pull"] = bodies.MAX_BRAKE_MPS2, bodies.MAX_DRIVE_MPS2
    for name, value in values.items():
        cars[name] = value
    return cars


@pytest.mark.parametrize(
    ("sky", "expected"),
    [(CLEAR_NOON, (1.0, 1.0, 1.0)), (WET, (0.65 / 0.85, 0.6 / 0.8, 0.55 / 0.75)),
     (RAIN, (0.55 / 0.85, 0.3 / 0.8, 0.2 / 0.75)), (FLOODED, (0.5 / 0.85, 0.05 / 0.8, 0.0)),
     (weather(wetness=50.0), (0.75 / 0.85, 0.7 / 0.8, 0.65 / 0.75)),
     (weather(rain=100.0, puddles=25.0),
      (0.5375 / 0.85, (0.75 * 0.3 + 0.25 * 0.05) / 0.8, 0.15 / 0.75)),
     (weather(rain=20.0, wetness=30.0), (0.65 / 0.85, 0.6 / 0.8, 0.55 / 0.75)),
     (weather(rain=900.0, wetness=-5.0), (0.55 / 0.85, 0.3 / 0.8, 0.2 / 0.75))],
)  # fmt: skip
def test_the_share_is_that_of_the_published_table(sky, expected):
    np.testing.assert_allclose(kept_grip(sky), expected, rtol=1e-12)


@pytest.mark.parametrize("sky", [CLEAR_NOON, WET, RAIN, FLOODED])
@pytest.mark.parametrize("kmh", [20.0, 50.0, 70.0, 90.0, 120.0])
def test_the_largest_cornering_acceleration_is_what_the_road_leaves(sky, kmh):
    kept, speed = kept_grip(sky), kmh / 3.6
    cars = car(velocity=(speed, 0.0), constant=(speed, 0.0, 1.0), steer=1.0)
    for _ in range(200):
        dynamics.drive(cars, np.zeros(len(cars), TUNING), kept, DT_S)
    share = np.interp(kmh, (50.0, 90.0, 130.0), kept)
    limit = min(share * bodies.GRIP_MPS2, speed**2 * np.tan(1.2) / 2.8)
    assert abs(speed * cars["yaw_rate"][0]) == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("pedals", [{"brake": 1.0}, {"brake": 1.0, "hand_brake": 1.0}])
@pytest.mark.parametrize("sky", [WET, RAIN, FLOODED])
def test_stopping_distance_from_town_speed_grows_as_friction_falls(sky, pedals):
    """d = v² / 2a below 50 km/h, where the share does not change with speed."""
    speed, kept = 13.0, kept_grip(sky)
    cars = car(velocity=(speed, 0.0), drag=0.0, **pedals)
    for _ in range(2000):
        dynamics.drive(cars, np.zeros(len(cars), TUNING), kept, DT_S)
    slows = kept[0] * bodies.MAX_BRAKE_MPS2 + dynamics.ROLLING_MPS2 + dynamics.ENGINE_BRAKE_MPS2
    assert cars["pose"][0, 0] == pytest.approx(speed**2 / (2.0 * slows), rel=0.005)


def test_a_strong_engine_pulls_no_harder_than_the_road_holds():
    kept = kept_grip(FLOODED)
    cars = car(throttle=1.0, pull=20.0)
    for _ in range(100):
        dynamics.drive(cars, np.zeros(len(cars), TUNING), kept, DT_S)
    pull = kept[0] * bodies.MAX_BRAKE_MPS2 - dynamics.ROLLING_MPS2
    assert cars["velocity"][0, 0] == pytest.approx(pull * 100 * DT_S, rel=1e-6)


def test_a_sideways_slide_lasts_longer_on_a_wet_road():
    for sky in (CLEAR_NOON, RAIN):
        cars, kept = car(velocity=(0.0, 3.5)), kept_grip(sky)
        for _ in range(1000):
            dynamics.drive(cars, np.zeros(len(cars), TUNING), kept, DT_S)
        expected = 3.5**2 / (2.0 * dynamics.SLIDE_MPS2 * kept[0])
        assert cars["pose"][0, 1] == pytest.approx(expected, rel=0.02)


def test_a_simulator_hands_the_weather_to_its_worlds_if_it_is_told_to():
    wet, dry = Simulator(TOWN, has_wet_grip=True), Simulator(TOWN)
    for sim in (wet, dry):
        sim.weather = list(RAIN)
    np.testing.assert_array_equal(wet.world.kept_grip, kept_grip(RAIN))
    np.testing.assert_array_equal(dry.world.kept_grip, DRY)
    for sim, expected in ((wet, kept_grip(RAIN)), (dry, DRY)):
        sim.open(World(TOWN))
        np.testing.assert_array_equal(sim.world.kept_grip, expected)
        assert sim.weather == RAIN
