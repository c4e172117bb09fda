"""Stop signs hold who comes to them, in towns other than those of the shipped figures."""

import numpy as np
import pytest

from dreamdrive.envs.embedded.lights import GREEN, RED
from dreamdrive.envs.embedded.stop_signs import BOX_M, STOP_S
from dreamdrive.envs.embedded.towns import SEEDS, load_town
from dreamdrive.envs.embedded.world import World

CAR, DT_S = "vehicle.nissan.micra", 0.05


def before_a_sign(name, away_m):
    """Returns a world with a car whose nose is so far before a sign's lane ends, and the car."""
    town = load_town(name)
    line = town.stop_signs[0].lines[0]
    grid = town.grid
    last = grid.s[grid.road == line.road_id].max() if line.lane_id < 0 else 0.0
    beyond = abs(last - line.s) - away_m
    yaw = np.radians(line.yaw_deg)
    world = World(town)
    back = beyond - 0.9 * 1.82
    actor = world.spawn(
        CAR, {}, line.x + back * np.cos(yaw), line.y + back * np.sin(yaw), 0.3, line.yaw_deg
    )
    return world, actor.id


def shown(world):
    record = world.vehicles.record[0]
    assert not record["has_light"]
    return int(record["light_state"])


def after(world, seconds):
    for _ in range(round(seconds / DT_S)):
        world.tick(DT_S)
    return shown(world)


def test_a_sign_is_red_until_its_time_is_over_for_who_stands():
    world, _ = before_a_sign("DreamCountry", 2.0)
    assert shown(world) == RED
    assert after(world, STOP_S - 0.2) == RED
    assert after(world, 0.4) == GREEN
    assert after(world, 5.0) == GREEN


def test_a_sign_is_red_for_as_long_as_somebody_does_not_stop():
    world, actor = before_a_sign("DreamCountry", BOX_M + 1.5)
    car = world.vehicles.state[world.vehicles.row[actor]]
    yaw = car["pose"][2]
    car["constant"] = 0.8, 0.0, 1.0
    car["velocity"] = 0.8 * np.cos(yaw), 0.8 * np.sin(yaw)
    assert shown(world) == GREEN
    assert after(world, 3.0) == RED
    assert after(world, STOP_S + 0.5) == RED
    car["constant"] = 0.0, 0.0, 1.0
    assert after(world, 0.2) == GREEN


@pytest.mark.parametrize("away_m", [BOX_M + 1.5, -1.5])
def test_a_sign_holds_nobody_elsewhere(away_m):
    world, _ = before_a_sign("DreamCountry", away_m)
    assert shown(world) == GREEN


def test_who_comes_back_has_to_stop_again():
    world, actor = before_a_sign("DreamCountry", 2.0)
    assert after(world, STOP_S + 0.2) == GREEN
    x, y, z, yaw = world.place(actor)
    world.move(actor, *world.town.spawn_points[0])
    world.tick(DT_S)
    world.move(actor, x, y, z, yaw)
    assert shown(world) == RED


def test_all_that_is_no_light_in_the_country_has_stop_signs():
    town = load_town("DreamCountry")
    assert len(town.stop_signs) == 13
    assert {len(sign.lines) for sign in town.stop_signs} == {1}


@pytest.mark.parametrize("name", SEEDS)
def test_signs_of_the_towns_of_shipped_figures_hold_nobody(name):
    assert not load_town(name).signs_hold


def test_a_sign_in_such_a_town_shows_nothing():
    world, _ = before_a_sign(next(n for n in SEEDS if load_town(n).stop_signs), 2.0)
    assert shown(world) == GREEN
