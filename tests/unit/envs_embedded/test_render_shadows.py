"""Shadows, against where the sun must put them."""

import math

import numpy as np
import pytest

from dreamdrive.envs.embedded.render.mesh import MeshBuilder, Tag
from dreamdrive.envs.embedded.render.shadows import MOVING_CELL_M, REACH_M, Shadows
from dreamdrive.envs.embedded.render.view import Lens, Pose, camera_rows
from dreamdrive.envs.embedded.render.weather import light_of
from dreamdrive.envs.embedded.simulator import CLEAR_NOON, Simulator
from dreamdrive.envs.embedded.towns import load_town
from support.shapes import look_at, triangles_of

HEIGHT_M, HALF_M = 6.0, 1.0
LENS = Lens(128, 128, 60.0)


def sky(altitude=40.0, azimuth=0.0, cloudiness=5.0):
    found = list(CLEAR_NOON)
    found[0], found[4], found[5] = cloudiness, azimuth, altitude
    return found


def ground_and_block(*, has_block=True, tag=Tag.BUILDING):
    builder = MeshBuilder()
    builder.polygon(
        [(-90, -90, 0), (90, -90, 0), (90, 90, 0), (-90, 90, 0)], Tag.ROAD, (0.5, 0.5, 0.5)
    )
    if has_block:
        builder.box((0.0, 0.0, HEIGHT_M / 2.0), (HALF_M, HALF_M, HEIGHT_M / 2.0), 0.0, tag,
                    (0.9, 0.2, 0.2))  # fmt: skip
    return builder


def shaded(weather, *, pose=None, **block):
    """Returns x and y of the pixels of the ground that the block darkens, shape (n, 2)."""
    pose = pose or Pose(0.0, 0.0, 36.0, -89.9, 0.0, 0.0)
    look, without = look_at(ground_and_block(**block), weather), ground_and_block(has_block=False)
    plain = look_at(without, weather)
    image = look.image(pose, LENS)
    darker = plain.coloured(pose, LENS, 1).astype(int) - look.coloured(pose, LENS, 1)
    is_ground = image.triangles.tag[image.triangle] == Tag.ROAD
    camera = camera_rows(pose, LENS)
    rows, columns = np.nonzero((darker[:, :, :3].sum(-1) > 24) & is_ground)
    across = (columns + 0.5 - camera[4, 1]) / camera[4, 0]
    down = (rows + 0.5 - camera[4, 2]) / camera[4, 0]
    rays = camera[1] + across[:, None] * camera[2] - down[:, None] * camera[3]
    return camera[0, :2] + rays[:, :2] * (-camera[0, 2] / rays[:, 2])[:, None]


@pytest.mark.parametrize(("altitude", "azimuth"), [(30.0, 0.0), (45.0, 50.0), (60.0, -120.0)])
def test_a_shadow_is_as_long_as_the_sun_is_low(altitude, azimuth):
    """h / tan(altitude) beyond the block, away from the sun."""
    places = shaded(sky(altitude, azimuth))
    away = -np.array([math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))])
    along, aside = places @ away, places @ np.array([-away[1], away[0]])
    corner = HALF_M * np.abs(away).sum()
    assert along.max() == pytest.approx(
        HEIGHT_M / math.tan(math.radians(altitude)) + corner, abs=0.5
    )
    assert along.min() > -corner - 0.5
    wide = HALF_M * (abs(away[0]) + abs(away[1]))
    assert np.abs(aside).max() == pytest.approx(wide, abs=0.5)


def test_what_is_lit_has_no_shadow_on_itself():
    weather, pose = sky(40.0, 30.0), Pose(14.0, 9.0, 7.0, -20.0, -147.0, 0.0)
    look = look_at(ground_and_block(), weather)
    image, picture = look.image(pose, LENS), look.coloured(pose, LENS, 1)
    t = image.triangles
    normal = t.normal[image.triangle]
    is_block = (image.triangle >= 0) & (t.tag[image.triangle] == Tag.BUILDING)
    checked = 0
    for axis in np.eye(3):
        face = is_block & (normal @ axis > 0.9)
        if face.sum() > 20:
            assert np.ptp(picture[face][:, 2].astype(int)) <= 6, axis
            checked += 1
    assert checked >= 2


def test_the_ground_casts_no_shadow_and_the_sun_may_not_shine():
    assert len(shaded(sky(), tag=Tag.SIDEWALK)) == 0
    covered = shaded(sky(45.0, 0.0, cloudiness=100.0))
    assert np.abs(covered).max(initial=0.0) < HALF_M + 0.6
    below = shaded(sky(-30.0), pose=Pose(0.0, 0.0, 36.0, -89.9, 0.0, 0.0))
    assert np.abs(below).max(initial=0.0) < HALF_M + 0.6


def test_shadows_end_at_their_reach():
    far = Pose(-REACH_M - 12.0, 0.0, 10.0, -10.0, 0.0, 0.0)
    assert len(shaded(sky(30.0, 90.0), pose=far)) == 0
    near = far._replace(x=-20.0)
    assert len(shaded(sky(30.0, 90.0), pose=near)) > 50


def test_a_vehicle_takes_its_shadow_along():
    town = load_town("Dream01")
    sim = Simulator(town, synchronous=True)
    car = sim.world.spawn("vehicle.tesla.model3", {}, *town.spawn_points[0]).id
    look, light = sim.eyes()._look, light_of(sky(45.0, 0.0))
    eye = np.array([*town.spawn_points[0][:2], 3.0])
    first = look._shadows.around(eye, light, look.triangles)
    assert look._shadows.around(eye, light, look.triangles).moving is first.moving
    covered = int((first.moving > -np.inf).sum()) * MOVING_CELL_M**2
    assert 8.0 < covered < 25.0
    still = first.still
    sim.world.vehicles.pose[sim.world.vehicles.row[car], 0] += 5.0
    look.update(sky(45.0, 0.0))
    second = look._shadows.around(eye, light, look.triangles)
    assert second.still is still
    before, after = (np.argwhere(maps.moving > -np.inf).mean(0) for maps in (first, second))
    moved = float(np.hypot(*(after - before))) * MOVING_CELL_M
    across = np.array([first.frame[0, 0], first.frame[1, 0]]) * 5.0
    assert moved == pytest.approx(float(np.hypot(*across)), abs=0.1)


def test_maps_of_what_stands_still_are_kept_by_square_and_few():
    triangles, shadows = triangles_of(ground_and_block()), Shadows()
    light = light_of(sky())
    first = shadows.around(np.array([1.0, 1.0, 2.0]), light, triangles)
    assert shadows.around(np.array([9.0, 3.0, 2.0]), light, triangles).still is first.still
    for k in range(1, 12):
        shadows.around(np.array([20.0 * k, 0.0, 2.0]), light, triangles)
    assert len(shadows._still) <= 4
