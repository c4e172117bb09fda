"""How far the limits that vehicles are told, those of their roads, are from what signs say."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.town_signals import StopLine, TownSignal
from dreamdrive.envs.embedded.towns import load_town
from support.sign_limits import following, limits_at_entries, metres

TOWN01 = Path(__file__).resolve().parents[4] / "shared" / "data" / "Town01.xodr"


@pytest.mark.parametrize("name", ["Dream01", *([str(TOWN01)] if TOWN01.is_file() else [])])
def test_lanes_follow_where_their_traffic_drives_on(name):
    drive = parse_opendrive(load_town(name).xodr)

    def end(piece, is_last):
        road, index, lane = piece
        section = drive.roads[road].sections[index]
        s = section.end if is_last == (lane < 0) else section.start
        pose = drive.roads[road].lane_pose(lane, min(s, section.end - 1e-6))
        return np.array([pose.x, pose.y])

    pairs = [(a, b) for a, others in following(drive).items() for b in others]
    assert {np.sign(a[2]) for a, _ in pairs} == {-1, 1}
    for a, b in pairs:
        assert np.linalg.norm(end(a, True) - end(b, False)) < 0.5


def test_a_sign_holds_from_where_it_stands_until_the_next():
    town = load_town("Dream01")
    drive = parse_opendrive(town.xodr)
    road = next(road for road in drive.roads.values() if road.junction == -1 and road.length > 50.0)
    lines = [StopLine(road.id, -1, s, 0.0, 0.0, 0.0) for s in (20.0, road.length - 10.0)]
    signs = tuple(
        TownSignal(str(value), 0.0, 0.0, 0.0, (line,), (0.0, 0.0, 0.0, 0.0), value=value)
        for line, value in zip(lines, (60.0, 90.0), strict=True)
    )
    signed = replace(town, limit_signs=signs)
    entering = limits_at_entries(signed, drive)
    behind = following(drive)[road.id, 0, -1]
    assert behind
    assert all(entering[piece] >= {90.0} and 60.0 not in entering[piece] for piece in behind)
    told: Counter[str] = Counter()
    for (words, _), length in metres(signed).items():
        told[words] += length
    assert told["60"] == pytest.approx(road.length - 30.0, abs=1.0)
    assert told["90"] == pytest.approx(10.0, abs=1.0)


@pytest.mark.skipif(not TOWN01.is_file(), reason="CARLA's Town01 is not shipped")
def test_in_town01_signs_and_roads_agree_nowhere():
    told = metres(load_town(str(TOWN01)))
    assert {key: round(length) for key, length in told.items()} == {
        ("30", 40.2): 3611, ("30", 50.0): 1443, ("60", 40.2): 223, ("90", 40.2): 1125,
    }  # fmt: skip


def test_towns_without_signs_have_the_first_limit_everywhere():
    assert {words for words, _ in metres(load_town("Dream01"))} == {"30"}
