import contextlib

import numpy as np
import pytest

from dreamdrive.envs.embedded.render.mesh import MeshBuilder, Tag
from dreamdrive.envs.embedded.render.probes import points_along
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.ray_tree import NO_TRIANGLE, RayTree
from dreamdrive.envs.embedded.render.scene import Scene
from dreamdrive.envs.embedded.render.view import Lens, Pose
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.world import SpawnError, World
from support.shapes import look_at, triangles_of, wall

ORIGIN = np.zeros((1, 3))
AHEAD = np.array([[1.0, 0.0, 0.0]])


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def plain_cast(points, origin, directions):
    """Returns the nearest distance along each ray, by all triangles in turn."""
    best = np.full(len(directions), np.inf)
    for a, b, c in points.astype(np.float64):
        normal = np.cross(b - a, c - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = normal @ (a - origin) / (directions @ normal)
        at = origin + t[:, None] * directions
        inside = (directions @ normal < 0.0) & (t >= 0.0)
        for p, q in ((a, b), (b, c), (c, a)):
            inside &= np.cross(q - p, at - p) @ normal >= 0.0
        best = np.where(inside & (t < best), t, best)
    return best


def test_a_wall_is_met_at_its_distance_from_its_front_and_within_reach():
    builder = MeshBuilder()
    wall(builder, 12.5, Tag.WALL)
    tree = RayTree(triangles_of(builder))
    hits = tree.cast(ORIGIN, AHEAD, 100.0)
    assert hits.distance[0] == pytest.approx(12.5, abs=1e-6)
    assert hits.triangle[0] in (0, 1)
    for origin, direction, far in (
        (ORIGIN, AHEAD, 12.4), (ORIGIN, -AHEAD, 100.0), (ORIGIN + 20.0 * AHEAD, -AHEAD, 100.0),
    ):  # fmt: skip
        hits = tree.cast(origin, direction, far)
        assert (hits.distance[0], hits.triangle[0]) == (np.inf, NO_TRIANGLE)


@pytest.mark.parametrize("count", [0, 1, 3, 5, 300])
def test_rays_meet_what_trying_every_triangle_finds(count):
    rng = np.random.default_rng(count)
    builder = MeshBuilder()
    middle = rng.uniform(-20, 20, (count, 1, 3))
    builder.triangles(middle + rng.normal(scale=3.0, size=(count, 3, 3)), Tag.WALL, (0, 0, 0))
    triangles = triangles_of(builder)
    directions = unit(rng.normal(size=(2000, 3)))
    hits = RayTree(triangles).cast(ORIGIN, directions, np.inf)
    expected = plain_cast(triangles.points, ORIGIN[0], directions)
    np.testing.assert_allclose(hits.distance, expected, rtol=1e-5)
    assert np.isfinite(expected).any() == (count >= 3)


def test_rays_have_origins_of_their_own():
    builder = MeshBuilder()
    wall(builder, 10.0, Tag.WALL)
    origins = np.array([[0.0, 0.0, 0.0], [4.0, 1.0, 1.0], [11.0, 0.0, 0.0]])
    hits = RayTree(triangles_of(builder)).cast(origins, np.tile(AHEAD, (3, 1)), 50.0)
    np.testing.assert_allclose(hits.distance, [10.0, 6.0, np.inf], rtol=1e-6)


@pytest.mark.parametrize("tilt", [(-8.0, 0.0), (3.0, 25.0)])
def test_rays_and_pictures_of_a_town_agree(tilt):
    world = World(load_town("Dream02"))
    for number in range(0, 60, 3):
        kind = "vehicle.mini.cooper_s" if number % 2 else "vehicle.mitsubishi.fusorosa"
        with contextlib.suppress(SpawnError):
            world.spawn(kind, {}, *world.town.spawn_points[number])
    scene = Scene(world)
    x, y, _, yaw = world.town.spawn_points[1]
    pose, lens = Pose(x, y, 2.0, tilt[0], yaw, tilt[1]), Lens(160, 120, 100.0)
    image = Image(scene.triangles, pose, lens)
    u, v = np.meshgrid(np.arange(160) + 0.5 - 80.0, np.arange(120) + 0.5 - 60.0)
    ahead, right, up = pose.axes()
    rays = ahead + (u[..., None] * right - v[..., None] * up) / lens.focal
    length = np.linalg.norm(rays, axis=-1)
    hits = RayTree(scene.triangles).cast(
        np.array([pose[:3]]), (rays / length[..., None]).reshape(-1, 3), np.inf
    )
    is_same = hits.triangle.reshape(120, 160) == image.triangle
    assert is_same.mean() > 0.999
    near = is_same & (image.depth() < 150.0)
    assert near.mean() > 0.5
    np.testing.assert_allclose(
        (hits.distance.reshape(120, 160) / length)[near], image.depth()[near], atol=0.02
    )


def test_moving_triangles_are_met_where_they_went():
    world = World(load_town("Dream02"))
    x, y, z, yaw = world.town.spawn_points[3]
    car = world.spawn("vehicle.mini.cooper_s", {}, x, y, z, yaw).id
    scene = Scene(world)
    tree = RayTree(scene.triangles)
    heading = np.radians(yaw)
    ahead = np.array([[np.cos(heading), np.sin(heading), 0.0]])
    origin = np.array([[x, y, 0.6]]) - 8.0 * ahead
    assert tree.cast(origin, ahead, 50.0).distance[0] == pytest.approx(8.0 - 1.9, abs=0.05)
    world.move(car, x + 3.0 * ahead[0, 0], y + 3.0 * ahead[0, 1], 0.0, yaw)
    scene.update()
    tree.update(scene.triangles)
    hits = tree.cast(origin, ahead, 50.0)
    assert hits.distance[0] == pytest.approx(11.0 - 1.9, abs=0.05)
    assert scene.triangles.instance[hits.triangle[0]] == car


def test_a_line_enters_objects_in_their_order():
    builder = MeshBuilder()
    builder.box((5.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.0, Tag.CAR, (0, 0, 0), instance=4)
    builder.box((9.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.0, Tag.POLE, (0, 0, 0), instance=5)
    wall(builder, 20.0, Tag.WALL)
    look = look_at(builder)
    found = points_along(look, (0.0, 0.1, 0.2), (30.0, 0.1, 0.2))
    assert [point.tag for point in found] == [Tag.CAR, Tag.POLE, Tag.WALL]
    places = np.array([point.place for point in found])
    np.testing.assert_allclose(places, [(4, 0.1, 0.2), (8, 0.1, 0.2), (20, 0.1, 0.2)], atol=1e-5)
    assert points_along(look, (0.0, 0.1, 0.2), (7.5, 0.1, 0.2)) == found[:1]
    assert points_along(look, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)) == []
