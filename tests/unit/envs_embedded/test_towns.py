import math
import random
from pathlib import Path

import numpy as np
import pytest

from dreamdrive.envs.embedded.curves import Arc, Pose, biarc, wrap
from dreamdrive.envs.embedded.generator import TownPlan, plan_network
from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.opendrive_writer import write_opendrive
from dreamdrive.envs.embedded.records import lane_sample
from dreamdrive.envs.embedded.styles import STYLED
from dreamdrive.envs.embedded.towns import (
    CELL_M,
    DEV_TOWNS,
    TEST_TOWNS,
    TRAIN_TOWNS,
    Town,
    available_towns,
    build_town,
    load_town,
)
from dreamdrive.errors import MapError

TOWN01 = Path(__file__).resolve().parents[4] / "shared" / "data" / "Town01.xodr"


def sample_at(town: Town, x: float, y: float) -> int:
    return lane_sample(town.grid.nearest, *town.grid.origin, CELL_M, float(x), float(y))


def test_a_quarter_circle_ends_where_it_must() -> None:
    end = Arc(Pose(0.0, 0.0, 0.0), math.pi / 2 * 10.0, 0.1).at(math.pi / 2 * 10.0)
    assert end == pytest.approx((10.0, 10.0, math.pi / 2))
    assert Arc(Pose(1.0, 2.0, math.pi), 5.0, 0.0).at(5.0) == pytest.approx((-4.0, 2.0, math.pi))


@pytest.mark.parametrize("seed", range(20))
def test_a_biarc_joins_two_poses_without_a_kink(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = Pose(0.0, 0.0, float(rng.uniform(-0.7, 0.7)))
    end = Pose(20.0, float(rng.uniform(-12, 12)), float(rng.uniform(-1.5, 1.5)))
    pieces = biarc(start, end)
    joint = pieces[0].at(pieces[0].length)
    assert pieces[-1].at(pieces[-1].length)[:2] == pytest.approx(end[:2], abs=1e-6)
    assert wrap(pieces[-1].at(pieces[-1].length).heading - end.heading) == pytest.approx(
        0, abs=1e-6
    )
    if len(pieces) == 2:
        assert joint == pytest.approx(pieces[1].start, abs=1e-9)


def test_the_three_sets_of_towns_share_none() -> None:
    names = [*TRAIN_TOWNS, *DEV_TOWNS, *TEST_TOWNS, *STYLED]
    assert len(names) == len(set(names)) >= 11
    assert names == available_towns()


def test_a_seed_gives_the_same_bytes_and_another_seed_another_town() -> None:
    texts = [write_opendrive("t", plan_network(seed, TownPlan())) for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("name", available_towns())
def test_traffic_can_drive_on_for_ever(name: str) -> None:
    carla = pytest.importorskip("carla")
    town = load_town(name)
    chart = carla.Map(name, town.xodr)
    waypoints = chart.generate_waypoints(5.0)
    assert len(waypoints) > 500
    assert all(w.next(2.0) for w in waypoints)
    rng = random.Random(0)
    for _ in range(5):
        here = rng.choice(waypoints)
        for _ in range(200):
            following = here.next(5.0)
            assert following, "a dead end"
            there = rng.choice(following)
            gap = here.transform.location.distance(there.transform.location)
            assert 2.5 < gap < 6.5, "the road jumps"
            here = there
    assert len(chart.get_all_landmarks_of_type("1000001")) == len(town.lights) > 0


@pytest.mark.parametrize("name", ["Dream01", "Dream07"])
def test_our_reading_of_lanes_is_the_clients(name: str) -> None:
    carla = pytest.importorskip("carla")
    town = load_town(name)
    chart = carla.Map(name, town.xodr)
    x, y, z, yaw = (np.array(v) for v in zip(*town.spawn_points, strict=True))
    sample = [sample_at(town, *place) for place in zip(x, y, strict=True)]
    assert min(sample) >= 0
    for i in range(len(x)):
        waypoint = chart.get_waypoint(carla.Location(x[i], y[i], z[i]))
        assert waypoint.transform.location.distance(carla.Location(x[i], y[i], 0.0)) < 0.3
        off = (waypoint.transform.rotation.yaw - yaw[i] + 180.0) % 360.0 - 180.0
        assert abs(off) < 1.0
        assert (waypoint.road_id, waypoint.lane_id) == (
            town.grid.road[sample[i]], town.grid.lane[sample[i]],
        )  # fmt: skip


def test_lights_that_are_green_together_face_each_other() -> None:
    for name in available_towns():
        town = load_town(name)
        seen = [i for junction in town.phases for phase in junction for i in phase]
        assert sorted(seen) == list(range(len(town.lights)))
        for junction in town.phases:
            for phase in junction:
                yaws = [math.radians(town.lights[i].yaw_deg) for i in phase]
                assert len(phase) <= 2
                if len(phase) == 2:
                    assert abs(wrap(yaws[0] - yaws[1] + math.pi)) < 0.7


def test_a_light_holds_its_own_approach_and_nothing_else() -> None:
    town = load_town("Dream02")
    for index, light in enumerate(town.lights):
        for line in light.lines:
            back = math.radians(line.yaw_deg)
            at = [(line.x - d * math.cos(back), line.y - d * math.sin(back)) for d in (3.0, 25.0)]
            samples = [sample_at(town, *place) for place in at]
            assert town.grid.light[samples[0]] == index
            assert town.grid.light[samples[1]] == -1


@pytest.mark.parametrize("x", [-1e6, 1e6, math.nan, math.inf])
def test_far_away_is_off_the_road(x: float) -> None:
    town = load_town("Dream01")
    assert sample_at(town, x, 0.0) == sample_at(town, 0.0, x) == -1


def test_houses_do_not_stand_on_the_road() -> None:
    for name in available_towns():
        town = load_town(name)
        assert len(town.static_boxes) > 20
        spawn = np.array(town.spawn_points)[:, :2]
        for x, y, half_length, half_width, yaw in town.static_boxes:
            dx, dy = (spawn - (x, y)).T
            along = np.abs(dx * np.cos(yaw) + dy * np.sin(yaw)) - half_length
            across = np.abs(-dx * np.sin(yaw) + dy * np.cos(yaw)) - half_width
            assert (np.maximum(along, across) > 1.5).all()


@pytest.mark.skipif(not TOWN01.is_file(), reason="CARLA's Town01 is not shipped")
def test_a_map_of_carla_itself_has_lights_and_places_to_start() -> None:
    town = load_town(str(TOWN01))
    assert town.name == "Town01"
    assert len(town.lights) == 36
    assert len(town.spawn_points) > 150
    # Each of its junctions has three controllers, each of one approach.
    assert [[len(phase) for phase in junction] for junction in town.phases] == [[1, 1, 1]] * 12
    assert all(light.lines for light in town.lights)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<OpenDRIVE><road", "not well-formed"),
        ("<Other/>", "root is <Other>"),
        ("<OpenDRIVE/>", "no roads"),
        ('<OpenDRIVE><road id="7" length="5"/></OpenDRIVE>', "Road 7 is broken"),
        ('<OpenDRIVE><road id="7" length="nan"/></OpenDRIVE>', "Road 7 is broken"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><OpenDRIVE/>', "not well-formed"),
    ],
)
def test_a_broken_map_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(MapError, match=message):
        build_town("broken", text)


def test_an_unknown_town_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="Dream01"):
        load_town("Atlantis")
    with pytest.raises(MapError, match="no such town"):
        load_town(str(tmp_path / "missing.xodr"))


def test_curves_are_read_as_they_are_meant() -> None:
    def road(shape: str, length: float) -> str:
        return (
            f'<OpenDRIVE><road id="1" length="{length}"><planView><geometry s="0" x="1" y="2" '
            f'hdg="0" length="{length}">{shape}</geometry></planView><lanes><laneSection s="0">'
            '<right><lane id="-1" type="driving"><width sOffset="0" a="3" b="0" c="0" d="0"/>'
            "</lane></right></laneSection></lanes></road></OpenDRIVE>"
        )

    spiral = parse_opendrive(road('<spiral curvStart="0" curvEnd="0.02"/>', 50.0)).roads[1]
    assert spiral.at(50.0).heading == pytest.approx(0.02 * 50.0 / 2.0, abs=1e-3)
    cubic = '<paramPoly3 aU="0" bU="10" cU="0" dU="0" aV="0" bV="0" cV="4" dV="0"/>'
    end = parse_opendrive(road(cubic, 11.0)).roads[1].pieces[-1]
    assert end.at(end.length)[:2] == pytest.approx((11.0, 6.0))
    line = parse_opendrive(road("<line/>", 10.0)).roads[1]
    assert line.lane_pose(-1, 4.0) == pytest.approx((5.0, 0.5, 0.0))
    assert line.lane_width(-1, 4.0) == 3.0
