"""The navigation mesh: its file as Detour reads it, and the ground that it covers."""

import struct
from pathlib import Path

import numpy as np
import pytest

from dreamdrive.envs.embedded.navigation.areas import Area, chart_of
from dreamdrive.envs.embedded.navigation.borders import borders_of
from dreamdrive.envs.embedded.navigation.detour import DETAIL, POLYGON, detour_file
from dreamdrive.envs.embedded.navigation.files import navigation_file
from dreamdrive.envs.embedded.navigation.mesh import navigation_mesh
from dreamdrive.envs.embedded.navigation.polygons import polygons_of
from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.render.appearance import read_appearance
from dreamdrive.envs.embedded.render.streets import crossings_of
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.walker_calls import WalkerCalls
from dreamdrive.envs.embedded.world import World

TOWN01 = Path(__file__).resolve().parents[4] / "shared" / "data" / "Town01.xodr"
SQUARE = np.array([(0.0, 0.0, 1.0), (0.0, 5.0, 1.0), (5.0, 5.0, 1.0), (5.0, 0.0, 1.0),
                   (9.0, 5.0, 2.0), (9.0, 0.0, 2.0)])  # fmt: skip


@pytest.fixture(scope="module")
def pieces():
    chart = chart_of(load_town("Dream03").xodr)
    return chart, polygons_of(chart, *borders_of(chart))


def read(content):
    """Returns counts, points and polygons of a file, as Detour lays them out."""
    assert content[:4] == b"TESM"
    assert struct.unpack_from("<2i", content, 4) == (1, 1)
    reference, size = struct.unpack_from("<Ii", content, 40)
    assert reference != 0
    tile = content[48:]
    assert len(tile) == size
    assert tile[:4] == b"VAND"
    counts = struct.unpack_from("<9i", tile, 24)
    num_polygons, num_points, num_links, num_details, _, num_triangles = counts[:6]
    points = np.frombuffer(tile, "<f4", 3 * num_points, 100).reshape(-1, 3)
    at = 100 + points.nbytes
    polygons = np.frombuffer(tile, POLYGON, num_polygons, at)
    at += polygons.nbytes + 12 * num_links
    details = np.frombuffer(tile, DETAIL, num_details, at)
    assert size == at + details.nbytes + 4 * num_triangles
    return points, polygons, details


def test_the_file_has_the_layout_of_detour():
    content = detour_file(SQUARE, [[0, 1, 2, 3], [3, 2, 4, 5]], [[-1, -1, 1, -1], [0, -1, -1, -1]],
                          [1, 3])  # fmt: skip
    points, polygons, details = read(content)
    assert points[4].tolist() == [9.0, 2.0, 5.0]
    assert polygons["corners"][1].tolist() == [3, 2, 4, 5, 0, 0]
    assert polygons["beside"].tolist() == [[0, 0, 2, 0, 0, 0], [1, 0, 0, 0, 0, 0]]
    assert polygons["flags"].tolist() == [2, 8]
    assert polygons["area"].tolist() == [1, 3]
    assert details["first_triangle"].tolist() == [0, 2]
    assert POLYGON.itemsize == 32
    assert DETAIL.itemsize == 12


@pytest.mark.parametrize("corners", [[], [[0, 1, 2]] * 0x8000])
def test_a_tile_holds_no_more_than_its_numbers_can_name(corners):
    with pytest.raises(ValueError, match="a tile holds"):
        detour_file(SQUARE, corners, [[-1, -1, -1]] * len(corners), [1] * len(corners))


def test_pieces_are_convex_clockwise_and_know_their_neighbours(pieces):
    _, found = pieces
    for index, (corners, beside) in enumerate(zip(found.corners, found.beside, strict=True)):
        assert 3 <= len(corners) <= 6
        outline = found.points[corners]
        sides = np.roll(outline, -1, 0) - outline
        following = np.roll(sides, -1, 0)
        turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
        assert (turns < 1e-6).all()
        assert turns.sum() < 0.0
        for k, other in enumerate(beside):
            if other >= 0:
                a, b = corners[k], corners[(k + 1) % len(corners)]
                theirs = found.corners[other]
                at = theirs.index(b)
                assert theirs[(at + 1) % len(theirs)] == a
                assert found.beside[other][at] == index


def test_pieces_cover_what_the_chart_shows(pieces):
    chart, found = pieces
    size = np.zeros(len(Area))
    for corners, area in zip(found.corners, found.area, strict=True):
        x, y = found.points[corners].T
        size[area] += 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    shown = np.bincount(chart.kind.ravel(), minlength=len(Area)) * chart.cell_m**2
    assert size[1:] == pytest.approx(shown[1:], rel=0.04)


def test_crossings_join_the_sidewalks_at_both_ends(pieces):
    _, found = pieces
    drive = parse_opendrive(load_town("Dream03").xodr)
    looks = read_appearance(load_town("Dream03").xodr)
    crossings = crossings_of(drive, looks, load_town("Dream03").lights)
    assert len(crossings) > 10
    group = joined_without_roads(found)
    middles = [found.points[corners].mean(0) for corners in found.corners]
    for corners in crossings:
        ends = []
        for end in (corners[:2, :2].mean(0), corners[2:, :2].mean(0)):
            near = [
                group[index] for index, area in enumerate(found.area)
                if area == Area.SIDEWALK and np.hypot(*(middles[index] - end)) < 12.0
            ]  # fmt: skip
            ends.append(set(near))
        assert ends[0] & ends[1]


def joined_without_roads(found):
    """Returns a number for each piece, the same for those that sidewalks and crossings join."""
    group = [-1] * len(found.corners)
    for start in range(len(group)):
        waiting = [start] if group[start] < 0 and found.area[start] != Area.ROAD else []
        while waiting:
            index = waiting.pop()
            group[index] = start
            waiting += [
                other for other in found.beside[index]
                if other >= 0 and group[other] < 0 and found.area[other] != Area.ROAD
            ]  # fmt: skip
    return group


def test_corners_at_a_kerb_are_there_at_both_heights():
    points, polygons, _ = read(navigation_mesh(load_town("Dream01").xodr))
    for row in polygons:
        heights = points[row["corners"][: row["count"]], 1]
        assert heights == pytest.approx(0.12 if row["area"] == Area.SIDEWALK else 0.0, abs=1e-6)


def test_the_name_of_a_file_says_which_map_it_is_for():
    names = {navigation_file(load_town(name)) for name in ("Dream01", "Dream02", "Dream01")}
    assert len(names) == 2
    assert all(name.startswith("Carla/Maps/Nav/Dream0") for name in names)


@pytest.mark.skipif(not TOWN01.is_file(), reason="CARLA's Town01 is not shipped")
def test_a_map_of_carla_itself_has_a_mesh():
    _, polygons, _ = read(navigation_mesh(TOWN01.read_text()))
    assert set(polygons["area"].tolist()) == {Area.SIDEWALK, Area.CROSSWALK, Area.ROAD}
    assert 300 < len(polygons) < 3000


def test_on_hills_the_mesh_lies_where_walkers_stand():
    town = load_town("DreamHills")
    points, polygons, _ = read(navigation_mesh(town.xodr))
    assert np.ptp(points[:, 1]) > 3.0
    gaps = []
    for row in polygons[polygons["area"] == Area.SIDEWALK]:
        x, z, y = points[row["corners"][: row["count"]]].mean(0).astype(float)
        gaps.append(town.ground.height(x, y, z) - z)
    assert len(gaps) > 300
    assert np.abs(gaps).max() < 0.3
    assert np.quantile(np.abs(gaps), 0.95) < 0.13


def test_on_hills_walkers_stand_walk_and_jump_on_the_ground():
    town = load_town("DreamHills")
    world = World(town)
    # Half way up, streets are steep.
    middle = np.mean([place[2] for place in town.spawn_points])
    x, y, z, yaw_deg = min(town.spawn_points, key=lambda place: abs(place[2] - middle))
    heading = np.radians(yaw_deg)
    walker = world.spawn("walker.pedestrian.0001", {}, x, y, z, yaw_deg)
    walkers = world.walkers

    def above():
        (px, py, _), pz = walkers.pose[0].tolist(), float(walkers.z[0])
        return pz - 0.93 - town.ground.height(px, py, pz - 0.93)

    world.tick(0.05)
    assert above() == pytest.approx(0.0, abs=1e-6)
    walkers.direction[0], walkers.speed[0] = (np.cos(heading), np.sin(heading), 0.0), 2.0
    first = float(walkers.z[0])
    for _ in range(100):
        world.tick(0.05)
        assert above() == pytest.approx(0.0, abs=1e-6)
    assert abs(walkers.z[0] - first) > 0.1
    simulator = Simulator(town)
    simulator.open(world)
    ahead = [float(np.cos(heading)), float(np.sin(heading)), 0.0]
    WalkerCalls(simulator).apply_control_to_walker(walker.id, [ahead, 2.0, True])
    heights = []
    for _ in range(40):
        world.tick(0.05)
        heights.append(above())
    assert max(heights) == pytest.approx(0.9, abs=0.1)
    assert heights[-1] == pytest.approx(0.0, abs=1e-6)
