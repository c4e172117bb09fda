import numpy as np
import pytest

from dreamdrive.envs.embedded.blueprints import VEHICLES
from dreamdrive.envs.embedded.touching import FIRST_SOLID
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.world import World
from support import plain_tick

TOWN = load_town("Dream01")
DT_S = 0.05


def crowded(seed):
    """Returns a world with vehicles and walkers on top of each other beside a house and props."""
    rng = np.random.default_rng(seed)
    world = World(TOWN)
    x, y = TOWN.static_boxes[0, :2] + TOWN.static_boxes[0, 2]
    for k, (dx, dy, yaw) in enumerate(rng.uniform(-8.0, 8.0, (3, 3))):
        world.spawn("static.prop.streetbarrier", {}, x + dx, y + dy, 0.0, 20.0 * yaw + k)
    models = list(VEHICLES.values())
    cars, walkers = world.vehicles, world.walkers
    for k in range(12):
        pose = [x + rng.uniform(-9, 9), y + rng.uniform(-9, 9), rng.uniform(-np.pi, np.pi)]
        cars.spawn(1000 + k, models[k % len(models)], pose, 0.0)
    for k in range(6):
        walkers.spawn(2000 + k, [x + rng.uniform(-9, 9), y + rng.uniform(-9, 9), 0.0], 0.0)
    n = len(cars)
    cars.velocity[:] = rng.normal(scale=6.0, size=(n, 2))
    cars.throttle[:] = rng.uniform(-0.5, 1.0, n).clip(0.0)
    cars.brake[:] = rng.uniform(-1.0, 1.0, n).clip(0.0)
    cars.steer[:] = rng.uniform(-1.0, 1.0, n)
    cars.reverse[::4], cars.hand_brake[::5], cars.physics[3] = 1.0, 1.0, 0.0
    cars.constant[6] = 2.0, 0.0, 1.0
    walkers.direction[:, :2], walkers.speed[:] = rng.normal(size=(6, 2)), rng.uniform(0, 2, 6)
    return world


def events_of(contacts, world):
    """Returns collisions as the world reports them, from contacts of the plain tick."""
    ids = {"vehicle": world.vehicles.id, "walker": world.walkers.id}
    found = []
    for i, kind, j, impulse in contacts:
        first = int((world.walkers if kind.startswith("wall") else world.vehicles).id[i])
        if kind in ids:
            second = int(ids[kind][j])
        else:
            second = FIRST_SOLID - j if kind.endswith("0") else int(world.touching.props.ids[j])
        found.append((first, second, tuple(impulse)))
        if kind in ids:
            found.append((second, first, tuple(-impulse)))
    return found


def assert_same(state, plain):
    for name in state.dtype.names:
        np.testing.assert_allclose(state[name], plain[name], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("seed", [0, 2, 3, 4, 5, 6])
def test_a_tick_equals_the_plain_one_with_its_contacts(seed):
    world = crowded(seed)
    solids = [TOWN.static_boxes, world.touching.props.boxes]
    kinds, rng = set(), np.random.default_rng(seed)
    for _ in range(20):
        # Bodies that were just parted lie edge to edge, where rounding says whether they touch.
        world.vehicles.pose[:] += rng.normal(scale=1e-3, size=world.vehicles.pose.shape)
        cars, walkers = world.vehicles.state.copy(), world.walkers.state.copy()
        contacts = plain_tick.tick(cars, walkers, solids, DT_S)
        world.tick(DT_S)
        cars["speed_limit"] = world.vehicles.speed_limit
        assert_same(world.vehicles.state, cars)
        assert_same(world.walkers.state, walkers)
        expected = events_of(contacts, world)
        assert [event[:2] for event in world.events] == [event[:2] for event in expected]
        for event, other in zip(world.events, expected, strict=True):
            assert event.impulse == pytest.approx(other[2], abs=1e-4)
        kinds |= {kind.split()[0] for _, kind, _, _ in contacts}
    assert kinds == {"vehicle", "walker", "solid", "wall"}


def test_the_comparison_notices_contacts_that_are_left_out():
    world = crowded(0)
    cars, walkers = world.vehicles.state.copy(), world.walkers.state.copy()
    plain_tick.tick(cars, walkers, [], DT_S)
    world.tick(DT_S)
    cars["speed_limit"] = world.vehicles.speed_limit
    with pytest.raises(AssertionError):
        assert_same(world.vehicles.state, cars)


def test_the_records_say_what_the_state_is():
    world = crowded(1)
    for _ in range(3):
        world.tick(DT_S)
    cars, walkers = world.vehicles, world.walkers
    for bodies in (cars, walkers):
        record = bodies.record
        np.testing.assert_array_equal(record["id"], bodies.id)
        assert (record["state"] == 1).all()
        for name, column, value in (
            ("location", slice(0, 2), bodies.pose[:, :2]), ("location", 2, bodies.z),
            ("rotation", 1, np.degrees(bodies.pose[:, 2])), ("rotation", (0, 2), 0.0),
            ("velocity", slice(0, 2), bodies.velocity), ("velocity", 2, 0.0),
            ("acceleration", slice(0, 2), bodies.acceleration),
            ("angular", 2, np.degrees(bodies.yaw_rate)), ("angular", (0, 1), 0.0),
        ):  # fmt: skip
            np.testing.assert_allclose(record[name][:, column], value, rtol=1e-6, err_msg=name)
    for name in ("throttle", "steer", "brake", "hand_brake", "reverse", "manual", "gear"):
        np.testing.assert_allclose(cars.record[name], getattr(cars, name), rtol=1e-6)
    np.testing.assert_allclose(cars.record["speed_limit"], 3.6 * cars.speed_limit, rtol=1e-6)
    np.testing.assert_allclose(walkers.record["direction"], walkers.direction, rtol=1e-6)
    np.testing.assert_allclose(walkers.record["speed"], walkers.speed, rtol=1e-6)
    lights, record = world.lights, world.records()[2]
    np.testing.assert_array_equal(record["colour"], lights.colour)
    np.testing.assert_allclose(record["elapsed"], lights.elapsed_s, rtol=1e-6)
    for name in ("green", "yellow", "red"):
        np.testing.assert_array_equal(record[name], getattr(lights, f"{name}_s"))


def test_off_the_road_no_light_holds_and_the_last_limit_stays():
    world = World(TOWN)
    car = world.spawn("vehicle.mini.cooper_s", {}, *TOWN.spawn_points[0]).id
    limit = world.vehicles.speed_limit[0]
    world.move(car, 5000.0, 5000.0, 0.0, 0.0)
    record = world.vehicles.record[0]
    assert world.vehicles.speed_limit[0] == limit
    assert (record["has_light"], record["light_id"], record["light_state"]) == (0, 0, 2)
