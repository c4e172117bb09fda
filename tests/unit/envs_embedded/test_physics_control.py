"""What a vehicle does after it was told its physics, against closed forms."""

import math

import numpy as np
import pytest

from dreamdrive.envs.embedded import bodies, dynamics, tuning
from dreamdrive.envs.embedded.arguments import CallError
from dreamdrive.envs.embedded.blueprints import VEHICLES
from dreamdrive.envs.embedded.physics_control import ENGINE_MOI, FINAL_RATIO, WHEEL_RADIUS_M
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.vehicle_calls import VehicleCalls
from dreamdrive.envs.embedded.wet_roads import DRY

CAR, DT_S = "vehicle.lincoln.mkz_2020", 0.01
MODEL = VEHICLES[CAR]
LOSSES = dynamics.ROLLING_MPS2
RATIO = FINAL_RATIO / WHEEL_RADIUS_M
FRONT, REAR = slice(0, 2), slice(2, 4)


def asked(sim, kind=CAR):
    """Returns a vehicle far from everything, the calls about it, and its control."""
    car = sim.world.spawn(kind, {}, 3000.0, 3000.0, 0.3, 0.0).id
    calls = VehicleCalls(sim)
    return car, calls, calls.get_physics_control(car)[0][1]


def told(kind=CAR, wheels=(), **changes):
    """Returns the vehicles after changes of its control; numbers multiply what was there.

    `wheels` are (which, place, value).
    """
    sim = Simulator(load_town("Dream01"), synchronous=True)
    car, calls, control = asked(sim, kind)
    for which, place, value in wheels:
        for wheel in control[tuning.WHEELS][which]:
            wheel[place] = value
    for name, value in changes.items():
        if name in ("friction", "radius", "brake_torque"):
            place = {"friction": 0, "radius": 3, "brake_torque": 4}[name]
            for wheel in control[15]:
                wheel[place] *= value
        elif name == "torque":
            control[0] = [[rpm, value * torque] for rpm, torque in control[0]]
        elif name == "gears":
            control[10] = value
        elif name in ("final", "mass", "drag"):
            control[{"final": 9, "mass": 11, "drag": 12}[name]] *= value
        else:
            control[getattr(tuning, name)] = value
    calls.apply_physics_control(car, control)
    return sim.world.vehicles


def step(cars, seconds, **values):
    for name, value in values.items():
        cars.state[name] = value
    for _ in range(round(seconds / DT_S)):
        dynamics.drive(cars.state, cars.tuning, DRY, DT_S)
    return float(np.hypot(*cars.velocity[0]))


def turn_rate(cars, speed, steer):
    step(cars, 0.5, velocity=(speed, 0.0), constant=(speed, 0.0, 1.0), steer=steer)
    return float(cars.yaw_rate[0])


@pytest.mark.parametrize("kind", list(VEHICLES))
def test_what_a_vehicle_tells_changes_nothing_when_it_is_told_back(kind):
    """Nor when a client has rounded it; and no vehicle tips before its tyres let go."""
    sim = Simulator(load_town("Dream01"), synchronous=True)
    car, calls, control = asked(sim, kind)
    before = sim.world.vehicles.state.copy()
    for told_back in (control, _rounded(control)):
        calls.apply_physics_control(car, told_back)
        np.testing.assert_array_equal(sim.world.vehicles.state, before)
        assert sim.world.vehicles.tuning["on"][0] == 0.0
    control[tuning.SWITCH_S] += 0.5
    calls.apply_physics_control(car, control)
    row = sim.world.vehicles.tuning[0]
    assert row["on"] == 1.0
    assert min(row["grip_left"], row["grip_right"]) >= bodies.GRIP_MPS2
    assert min(row["tip_stop"], row["tip_pull"]) >= bodies.MAX_BRAKE_MPS2


def _rounded(value):
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(np.float32(value)) if isinstance(value, float) else value


@pytest.mark.parametrize("kind", ["vehicle.bh.crossbike", CAR, "vehicle.carlamotors.european_hgv"])
def test_the_told_torque_curve_is_the_pull_that_a_vehicle_had(kind):
    plain, tuned = told(kind), told(kind, SWITCH_S=0.1)
    assert tuned.tuning["has_engine"][0] == 1.0
    for _ in range(40):
        before, after = (step(cars, 0.5, throttle=1.0) for cars in (plain, tuned))
        assert after == pytest.approx(before, rel=0.006)


@pytest.mark.parametrize("friction", [1.0, 0.5, 0.25])
def test_the_largest_cornering_acceleration_is_that_of_the_tyres(friction):
    cars = told(friction=friction)
    assert 20.0 * turn_rate(cars, 20.0, 0.5) == pytest.approx(friction * bodies.GRIP_MPS2, rel=1e-3)


@pytest.mark.parametrize("axle", [FRONT, REAR])
def test_the_axle_that_grips_less_limits_a_turn(axle):
    cars = told(wheels=[(axle, tuning.FRICTION, 0.4 * 3.5)])
    assert 20.0 * turn_rate(cars, 20.0, 0.5) == pytest.approx(0.4 * bodies.GRIP_MPS2, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "brakes"),
    [({}, 8.0), ({"friction": 0.5}, 4.0), ({"brake_torque": 0.25}, 2.0), ({"mass": 2.0}, 4.0),
     ({"brake_torque": 3.0}, 8.0), ({"brake_torque": 0.25, "radius": 0.5}, 4.0),
     ({"wheels": [(FRONT, tuning.BRAKE, 0.0)]}, 4.0), ({"CENTRE": [0.0, 0.0, 5.0]}, None)],
)  # fmt: skip
def test_stopping_distance(changes, brakes):
    """d = ln(1 + k v² / a) / (2 k), with k the drag and a all that slows a vehicle at rest.

    A vehicle whose centre of mass is high stops no harder than its rear wheels stay down.
    """
    if brakes is None:
        height = 2.0 * MODEL.half_height * tuning.CENTRE_OF_MASS + 5.0
        brakes = dynamics.GRAVITY_MPS2 * MODEL.wheelbase / 2.0 / height
    cars = told(**changes)
    k = float(cars.drag[0])
    coasting = dynamics.ENGINE_BRAKE_MPS2 / changes.get("mass", 1.0)
    slows = brakes + LOSSES + coasting / changes.get("radius", 1.0) ** 2
    step(cars, 30.0, velocity=(20.0, 0.0), brake=1.0)
    expected = np.log(1.0 + k * 20.0**2 / slows) / (2.0 * k)
    assert cars.pose[0, 0] - 3000.0 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "share"),
    [({}, 1.0), ({"torque": 0.5}, 0.5), ({"final": 0.75}, 0.75), ({"radius": 2.0}, 0.5),
     ({"mass": 2.0, "torque": 1.001}, 1.001), ({"MOI": 5.0}, 1.0), ({"MOI": 0.0}, 1.0),
     ({"gears": [[1.4, 0.5, 0.95], [1.0, 0.5, 0.95]]}, 1.4)],
)  # fmt: skip
def test_pull_from_rest(changes, share):
    """(T G / r) / (m + I (G / r)²): an engine's own inertia is carried along, by its gear."""
    cars = told(**changes)
    speed = step(cars, 0.5, throttle=1.0)
    torque = bodies.MAX_DRIVE_MPS2 * (MODEL.mass_kg + ENGINE_MOI * RATIO**2) / RATIO
    torque *= changes.get("torque", 1.0)
    ratio = RATIO * share / changes.get("torque", 1.0)
    mass = MODEL.mass_kg * changes.get("mass", 1.0)
    pull = torque * ratio / (mass + changes.get("MOI", ENGINE_MOI) * ratio**2)
    assert speed == pytest.approx(0.5 * (pull - LOSSES), rel=2e-3)


def test_a_heavier_vehicle_with_the_same_engine_pulls_less():
    assert step(told(mass=2.0), 0.5, throttle=1.0) == pytest.approx(
        0.5 * (bodies.MAX_DRIVE_MPS2 / 2.0 - LOSSES), rel=2e-3
    )


@pytest.mark.parametrize("changes", [{}, {"drag": 4.0}, {"torque": 0.3}, {"mass": 1.5}])
def test_terminal_speed(changes):
    """Power is what rolling and the air take: P / m = a v + k v³."""
    cars = told(**changes)
    speed = step(cars, 400.0, throttle=1.0)
    k = bodies.DRAG_PER_M * changes.get("drag", 1.0) / changes.get("mass", 1.0)
    power = MODEL.power_w * changes.get("torque", 1.0)
    given = power / (MODEL.mass_kg * changes.get("mass", 1.0))
    assert LOSSES * speed + k * speed**3 == pytest.approx(given, rel=0.02)


def test_an_engine_does_not_turn_beyond_its_largest_speed():
    cars = told(MAX_RPM=1500.0)
    assert step(cars, 60.0, throttle=1.0) == pytest.approx(1500.0 / dynamics.RPM / RATIO, rel=0.01)


def test_the_damping_at_full_throttle_takes_its_share_of_the_torque():
    plain, damped = told(MOI=0.999), told(MOI=0.999, DAMPING=1.15)
    for cars in (plain, damped):
        step(cars, DT_S, velocity=(10.0, 0.0), throttle=1.0)
    lost = float(plain.velocity[0, 0] - damped.velocity[0, 0]) / DT_S
    assert lost == pytest.approx(10.0 * RATIO**2 / (MODEL.mass_kg + 0.999 * RATIO**2), rel=1e-3)


@pytest.mark.parametrize(("damping", "radius"), [(2.0, 1.0), (6.0, 1.0), (2.0, 0.5)])
def test_coasting_grows_with_the_damping_and_the_square_of_the_gear(damping, radius):
    cars = told(COASTING=damping, radius=radius)
    speed = step(cars, 1.0, velocity=(5.0, 0.0), drag=0.0)
    slows = LOSSES + dynamics.ENGINE_BRAKE_MPS2 * damping / 2.0 / radius**2
    assert 5.0 - speed == pytest.approx(slows, rel=1e-3)


def test_wheels_that_turn_hard_slow_a_vehicle_exponentially():
    """du/dt = -a - b u, so that u(t) = (u0 + a / b) exp(-b t) - a / b."""
    cars = told(wheels=[(slice(4), tuning.WHEEL_DAMPING, 5.25)])
    speed = step(cars, 4.0, velocity=(20.0, 0.0), drag=0.0)
    b = 4.0 * 5.0 / (WHEEL_RADIUS_M**2 * MODEL.mass_kg)
    a = LOSSES + dynamics.ENGINE_BRAKE_MPS2
    assert speed == pytest.approx((20.0 + a / b) * math.exp(-4.0 * b) - a / b, rel=5e-3)


def test_the_hand_brake_is_that_of_the_rear_wheels():
    cars = told(wheels=[(FRONT, tuning.HAND_BRAKE, 0.0), (REAR, tuning.HAND_BRAKE, 1500.0)])
    speed = step(cars, 1.0, velocity=(10.0, 0.0), hand_brake=1.0, drag=0.0)
    slows = dynamics.HAND_BRAKE_MPS2 / 2.0 + LOSSES + dynamics.ENGINE_BRAKE_MPS2
    assert 10.0 - speed == pytest.approx(slows, rel=1e-3)


def test_gears_change_by_engine_speed_and_nothing_pulls_meanwhile():
    gears = [[2.0, 0.2, 0.5], [1.0, 0.2, 0.9]]
    cars = told(gears=gears, SWITCH_S=0.4)
    max_rpm = float(cars.tuning["max_rpm"][0])
    shift_at = 0.5 * max_rpm / dynamics.RPM / (2.0 * RATIO)
    assert step(cars, 0.2, velocity=(shift_at - 1.5, 0.0), throttle=1.0) > shift_at - 1.5
    assert cars.tuning["gear"][0] == 0.0
    while cars.tuning["gear"][0] == 0.0:
        step(cars, DT_S)
    at = float(cars.velocity[0, 0])
    assert at == pytest.approx(shift_at, abs=0.06)
    assert step(cars, 0.35) < at
    assert step(cars, 0.5) > at
    slow = 0.2 * max_rpm / dynamics.RPM / RATIO
    step(cars, 5 * DT_S, velocity=(0.95 * slow, 0.0))
    assert cars.tuning["gear"][0] == 0.0


def test_without_the_automatic_box_the_first_gear_stays():
    cars = told(gears=[[2.0, 0.3, 0.5], [1.0, 0.3, 0.9]], AUTOMATIC=False)
    speed = step(cars, 60.0, throttle=1.0)
    assert cars.tuning["gear"][0] == 0.0
    assert speed == pytest.approx(
        float(cars.tuning["max_rpm"][0]) / dynamics.RPM / (2.0 * RATIO), rel=0.01
    )


@pytest.mark.parametrize(("gear", "sign"), [(0, 0), (1, 1), (2, 1), (-1, -1)])
def test_gears_by_hand(gear, sign):
    """Neutral pulls nothing, and a gear below it backwards; with what was told and without."""
    for cars in (told(), told(gears=[[2.0, 0.3, 0.5], [1.0, 0.3, 0.9]])):
        step(cars, 0.5, manual=1.0, gear=float(gear), throttle=1.0)
        assert np.sign(cars.velocity[0, 0]) == sign
    assert cars.tuning["gear"][0] == max(abs(gear) - 1, 0)


@pytest.mark.parametrize("speed", [2.0, 6.0])
def test_the_steering_curve_scales_the_angle_by_speed(speed):
    cars = told(STEERING=[[36.0, 0.2], [0.0, 1.0]])
    share = 1.0 - 0.8 * speed / 10.0
    angle = 0.1 * math.radians(MODEL.max_steer_deg) * share
    assert turn_rate(cars, speed, 0.1) == pytest.approx(
        speed * math.tan(angle) / MODEL.wheelbase, rel=1e-6
    )


@pytest.mark.parametrize(
    ("axle", "value", "sign"), [(FRONT, 3.0, 1), (REAR, 3.0, -1), (FRONT, 17.0, 0)]
)
def test_stiffness_gives_the_radius_of_the_steady_turn(axle, value, sign):
    """R = (L + U u²) / tan δ: what is soft in front understeers."""
    cars = told(STEERING=[[0.0, 1.0]], wheels=[(axle, tuning.STIFFNESS, value)])
    loaded = 1.5 - 1.5**2 / 3.0 + 1.5**3 / 27.0
    gradient = sign * (1.0 / (value * loaded) - 1.0 / (17.0 * loaded)) / 9.81
    for speed in (4.0, 8.0):
        angle = 0.02 * math.radians(MODEL.max_steer_deg)
        expected = speed * math.tan(angle) / (MODEL.wheelbase + gradient * speed**2)
        assert turn_rate(cars, speed, 0.02) == pytest.approx(expected, rel=1e-6)


def test_a_smaller_largest_load_makes_tyres_stiffer():
    """S(3 / X) at rest: 0.875 with the X of 2 that wheels have, and 1 with 1."""
    cars = told(STEERING=[[0.0, 1.0]], wheels=[(FRONT, tuning.MAX_LOAD, 1.0)])
    gradient = (1.0 / 17.0 - 1.0 / (17.0 * 0.875)) / 9.81
    assert cars.tuning["understeer"][0] == pytest.approx(gradient, rel=1e-6)


@pytest.mark.parametrize(("steer", "side"), [(0.6, 1.0), (-0.6, -1.0)])
def test_a_high_centre_of_mass_limits_a_turn_before_the_tyres_do(steer, side):
    """g (t / 2 ± y) / h, the outer wheels' side."""
    cars = told(CENTRE=[0.0, 0.2, 1.5])
    height = 2.0 * MODEL.half_height * tuning.CENTRE_OF_MASS + 1.5
    arm = MODEL.half_width - tuning.WHEEL_INSET_M + side * 0.2
    assert 20.0 * abs(turn_rate(cars, 20.0, steer)) == pytest.approx(9.81 * arm / height, rel=1e-3)


def test_a_lower_centre_of_mass_leaves_the_limit_to_the_tyres():
    cars = told(CENTRE=[0.0, 0.0, -0.3])
    assert 20.0 * turn_rate(cars, 20.0, 0.6) == pytest.approx(bodies.GRIP_MPS2, rel=1e-3)


def test_a_centre_of_mass_far_back_lifts_the_front_before_full_pull():
    """g (L / 2 + x) / h."""
    cars = told(CENTRE=[-1.2, 0.0, 0.5])
    height = 2.0 * MODEL.half_height * tuning.CENTRE_OF_MASS + 0.5
    limit = 9.81 * (MODEL.wheelbase / 2.0 - 1.2) / height
    assert limit < bodies.MAX_DRIVE_MPS2
    assert step(cars, 0.5, throttle=1.0) == pytest.approx(0.5 * (limit - LOSSES), rel=2e-3)


@pytest.mark.parametrize("place", [8, 5])
def test_what_has_no_effect_has_none(place):
    """The clutch's strength and the damping with the clutch open."""
    sim = Simulator(load_town("Dream01"), synchronous=True)
    car, calls, control = asked(sim)
    control[tuning.MOI] = 2.0
    calls.apply_physics_control(car, control)
    before = sim.world.vehicles.state.copy(), sim.world.vehicles.tuning.copy()
    control[place] *= 3.0
    for wheel in control[tuning.WHEELS]:
        wheel[8] *= 3.0
    control[16] = True
    calls.apply_physics_control(car, control)
    np.testing.assert_array_equal(sim.world.vehicles.state, before[0])
    np.testing.assert_array_equal(sim.world.vehicles.tuning, before[1])


@pytest.mark.parametrize(
    ("place", "count", "words"),
    [(0, 33, "torque_curve has at most 32"), (14, 17, "steering_curve has at most 16"),
     (10, 17, "forward_gears has at most 16")],
)  # fmt: skip
def test_longer_curves_than_fit_are_refused(place, count, words):
    sim = Simulator(load_town("Dream01"), synchronous=True)
    car, calls, control = asked(sim)
    control[place] = [[float(i), 0.5, 0.6][: 3 if place == 10 else 2] for i in range(count)]
    with pytest.raises(CallError, match=words):
        calls.apply_physics_control(car, control)


def test_a_tuning_stays_with_its_vehicle():
    sim = Simulator(load_town("Dream01"), synchronous=True)
    cars = [sim.world.spawn(CAR, {}, 3000.0, 3000.0 + 20.0 * i, 0.3, 0.0).id for i in range(3)]
    calls = VehicleCalls(sim)
    control = calls.get_physics_control(cars[1])[0][1]
    control[tuning.MOI] = 3.0
    calls.apply_physics_control(cars[1], control)
    sim.destroy(cars[0])
    told_one = sim.world.vehicles.tuning["on"]
    assert told_one.tolist() == [1.0, 0.0]
    sim.destroy(cars[1])
    assert sim.world.vehicles.tuning["on"].tolist() == [0.0]
