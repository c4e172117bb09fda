"""What is looked at before a search for contacts never hides one, and spares most searches."""

import numpy as np
import pytest

from dreamdrive.envs.embedded import touching
from dreamdrive.envs.embedded.blueprints import VEHICLES
from dreamdrive.envs.embedded.bodies import Vehicles
from dreamdrive.envs.embedded.collision import CELL_M, REACH_M, ClearanceMap, find_contacts
from dreamdrive.envs.embedded.touching import EACH_OTHER, MANY, SOLID, _keep_close, _look_around

MODELS = list(VEHICLES.values())


def vehicles(rng, count, spread_m):
    cars = Vehicles()
    for k in range(count):
        pose = [*rng.uniform(-spread_m, spread_m, 2), rng.uniform(-np.pi, np.pi)]
        cars.spawn(k + 1, MODELS[int(rng.integers(len(MODELS)))], pose, 0.0)
    return cars


def look_around(cars, boxes, clearance):
    return _look_around(cars.state, boxes, clearance.clear, *clearance.low, CELL_M, REACH_M)


def solids(rng, count, spread_m):
    return np.concatenate(
        [
            rng.uniform(-spread_m, spread_m, (count, 2)), rng.uniform(0.1, 8.0, (count, 2)),
            rng.uniform(-np.pi, np.pi, (count, 1)),
        ],
        1,
    )  # fmt: skip


def test_a_look_around_hides_no_contact_and_finds_few_that_are_none():
    rng = np.random.default_rng(0)
    met, seen, beside, near = 0, 0, 0, 0
    for _ in range(400):
        cars, still = vehicles(rng, 4, 12.0), solids(rng, 3, 30.0)
        boxes, clearance = np.zeros((4, 5)), ClearanceMap(still)
        found = look_around(cars, boxes, clearance)
        np.testing.assert_array_equal(boxes, cars.solid_boxes())
        do_meet = len(find_contacts(boxes).first) > 0
        is_beside = len(find_contacts(boxes, still).first) > 0
        assert found & EACH_OTHER or not do_meet
        assert found & SOLID or not is_beside
        met, seen = met + do_meet, seen + bool(found & EACH_OTHER)
        beside, near = beside + is_beside, near + bool(found & SOLID)
    assert 50 < met <= seen < 1.02 * met
    assert 50 < beside <= near < 350


def test_boxes_edge_to_edge_are_searched():
    cars = Vehicles()
    model = VEHICLES["vehicle.mini.cooper_s"]
    for k in range(2):
        cars.spawn(k + 1, model, [2.0 * model.half_length * k, 0.0, 0.0], 0.0)
    clearance = ClearanceMap(np.zeros((0, 5)))
    assert look_around(cars, np.zeros((2, 5)), clearance) == EACH_OTHER
    cars.pose[1, 0] += 0.01
    assert look_around(cars, np.zeros((2, 5)), clearance) == 0
    cars.pose[1, 0], cars.ghost[0] = 0.0, 1.0
    assert look_around(cars, np.zeros((2, 5)), clearance) == 0


def test_many_vehicles_are_searched_at_once():
    cars = vehicles(np.random.default_rng(0), MANY + 1, 1e6)
    boxes, clearance = np.zeros((MANY + 1, 5)), ClearanceMap(np.zeros((0, 5)))
    assert look_around(cars, boxes, clearance) == EACH_OTHER


@pytest.mark.parametrize("seed", range(5))
def test_who_is_kept_close_is_whoever_may_touch_a_solid(seed):
    rng = np.random.default_rng(seed)
    boxes, still = vehicles(rng, 200, 60.0).boxes(), solids(rng, 20, 60.0)
    everybody = np.arange(200)
    kept = everybody[: _keep_close(boxes, everybody, still)].tolist()
    touching_any = set(find_contacts(boxes, still).first.tolist())
    assert touching_any <= set(kept)
    assert kept == sorted(kept)
    assert len(touching_any) > 10
    assert len(kept) < 2 * len(touching_any)


def test_ticks_without_contacts_search_for_none(monkeypatch):
    def search(*_):
        raise AssertionError("searched")

    cars, events = Vehicles(), []
    for k in range(3):
        cars.spawn(k + 1, MODELS[0], [10.0 * k, 0.0, 0.0], 0.0)
    made = touching.Touching(
        touching.Solids(np.array([[0.0, 9.0, 1.0, 1.0, 0.0]]), np.ones((1, 2)), np.full(1, -2))
    )
    monkeypatch.setattr(touching, "find_contacts", search)
    made.part(cars, touching.Walkers(), events)
    cars.pose[1, 0] = 0.5
    with pytest.raises(AssertionError, match="searched"):
        made.part(cars, touching.Walkers(), events)
