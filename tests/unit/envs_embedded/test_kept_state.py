"""What the server keeps beside the world: debug shapes, lamps, halted junctions, complaints."""

import io
import re

import numpy as np
import pytest

from dreamdrive.envs.embedded.complaints import PER_MINUTE, PER_PEER, Complaints
from dreamdrive.envs.embedded.debug_shapes import DebugShapes, ShapeKind
from dreamdrive.envs.embedded.lamps import EVERY, NO_POST, Lamps
from dreamdrive.envs.embedded.lights import TrafficLights
from dreamdrive.envs.embedded.limits import Limits
from dreamdrive.envs.embedded.towns import build_town, load_town
from dreamdrive.errors import ConfigError

TOWN = load_town("Dream01")
POINT, STRING = (ShapeKind.POINT, [[0.0] * 3, 0.1]), (ShapeKind.STRING, [[0.0] * 3, "a", False])
RED = [255, 0, 0]


def test_shapes_live_as_long_as_they_were_told():
    shapes = DebugShapes(10)
    for life_s in (0.0, 1.0, -1.0):
        shapes.add(*POINT, RED, life_s, 5.0)
    left = []
    for now_s in (5.5, 5.9, 6.5, 1e6):
        shapes.pass_time(now_s)
        left.append(len(shapes))
    assert left == [3, 2, 1, 1]


def test_a_shape_is_there_for_one_tick_at_least_and_time_begins_anew_with_a_world():
    shapes = DebugShapes(10)
    shapes.pass_time(5.0)
    shapes.add(*POINT, RED, 0.0, 5.0)
    left = []
    for now_s in (5.05, 5.1):
        shapes.pass_time(now_s)
        left.append(len(shapes))
    shapes.clear()
    shapes.add(*POINT, RED, 0.01, 0.0)
    shapes.pass_time(0.05)
    assert [*left, len(shapes)] == [1, 0, 1]


def test_the_oldest_shapes_go_first_and_kinds_are_cleared_apart():
    shapes = DebugShapes(3)
    for kind in (POINT, POINT, STRING, STRING):
        shapes.add(*kind, RED, -1.0, 0.0)
    assert len(shapes) == 3
    shapes.clear(range(4))
    assert len(shapes) == 2
    shapes.clear()
    assert len(shapes) == 0


def test_lamps_stay_where_they_are_and_are_taken_over_together():
    lamps = Lamps(TOWN)
    place = list(lamps.states[1][1])
    lamps.update([[1, [9.0] * 3, 5.0, 2, [1, 2, 3], True]])
    assert lamps.states[1] == [1, place, 5.0, 2, [1, 2, 3], True]
    with pytest.raises(Exception, match="no light"):
        lamps.update([[2, [0.0] * 3, 5.0, 2, [1, 2, 3], True], [10**6, [0.0] * 3, 1, 2, RED, True]])
    assert lamps.states[2][5] is False


def test_lamps_are_the_posts_of_a_town_unless_nobody_can_draw_it():
    town = load_town("DreamCurves")
    assert min(Lamps(town).posts) > NO_POST
    broken = re.sub(r'(<roadMark [^>]*width=")[^"]*', r"\1wide", town.xodr, count=1)
    lamps = Lamps(build_town("broken", broken))
    assert set(lamps.posts) == {NO_POST}
    assert len(lamps.states) == len(lamps.posts) == -(-len(town.spawn_points) // EVERY)


def test_lamps_that_are_found_by_night_are_on():
    lamps = Lamps(TOWN)
    assert lamps.see_sun(-20.0)
    assert all(state[5] for state in lamps.states.values())
    assert lamps.see_sun(20.0)
    assert not any(state[5] for state in lamps.states.values())


def test_a_halted_junction_stands_still_alone():
    lights, free = TrafficLights(TOWN), TrafficLights(TOWN)
    members = lights.members(0)
    others = np.setdiff1d(np.arange(len(TOWN.lights)), members)
    lights.freeze_group(0, True)
    before = lights.elapsed_s[members].copy()
    for _ in range(400):
        lights.tick(0.05)
        free.tick(0.05)
    np.testing.assert_array_equal(lights.elapsed_s[members], before)
    np.testing.assert_array_equal(lights.colour[others], free.colour[others])
    assert (free.colour[members] != lights.colour[members]).any()
    lights.freeze(False)
    lights.tick(0.05)
    assert (lights.elapsed_s[members] > before).all()


def test_complaints_are_one_line_each_and_counted_beyond_some():
    now, stream = [0.0], io.StringIO()
    complaints = Complaints(lambda: now[0], stream)
    for i in range(PER_MINUTE + 5):
        complaints.say(f"peer:{i}", "two\nlines \x1b[31m" + "x" * 999)
    lines = stream.getvalue().splitlines()
    assert len(lines) == PER_MINUTE
    assert lines[0].startswith("peer:0: two?lines ?[31m")
    assert len(lines[0]) < 320
    now[0] = 61.0
    complaints.say("peer:x", "late")
    assert stream.getvalue().splitlines()[PER_MINUTE:] == [
        "5 more complaints in the last minute", "peer:x: late",
    ]  # fmt: skip


def test_one_peers_flood_leaves_room_for_the_others_causes():
    stream = io.StringIO()
    complaints = Complaints(lambda: 0.0, stream)
    for _ in range(PER_MINUTE + 1):
        complaints.say("loud:1", "again")
    complaints.say("quiet:2", "once")
    lines = stream.getvalue().splitlines()
    assert lines == ["loud:1: again"] * PER_PEER + ["quiet:2: once"]


def test_limits_are_positive():
    with pytest.raises(ConfigError, match="max_actors must be at least 1"):
        Limits(max_actors=0)
