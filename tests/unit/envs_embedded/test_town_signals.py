import re

import carla
import pytest

from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.town_signals import LIGHT_KIND, STOP_KIND
from dreamdrive.envs.embedded.towns import Town, build_town, load_town


def held_by_the_client(town: Town) -> set[tuple[str, int, int]]:
    """Returns signal, road and driving lane of all that the client's map holds."""
    landmarks = carla.Map(town.name, town.xodr).get_all_landmarks()
    roads = parse_opendrive(town.xodr).roads
    return {
        (mark.id, mark.road_id, lane)
        for mark in landmarks
        if mark.type in (LIGHT_KIND, STOP_KIND)
        for low, high in mark.get_lane_validities()
        for lane, what in roads[mark.road_id].section(mark.s).lanes.items()
        if low <= lane <= high and what.kind == "driving"
    }


def held_here(town: Town) -> set[tuple[str, int, int]]:
    signals = (*town.lights, *town.stop_signs)
    return {(s.id, line.road_id, line.lane_id) for s in signals for line in s.lines}


@pytest.mark.parametrize("name", ["Dream01", "DreamCountry"])
@pytest.mark.parametrize("is_told", [True, False])
def test_a_signal_holds_the_lanes_that_the_client_says(name: str, is_told: bool) -> None:
    town = load_town(name)
    if not is_told:
        town = build_town(name, re.sub(r"<validity[^>]*/>", "", town.xodr))
    assert held_here(town) == held_by_the_client(town)
    assert len(held_here(town)) > 10
    assert (held_here(town) == held_here(load_town(name))) == is_told


def test_a_signal_that_is_valid_for_no_lane_holds_none() -> None:
    text = re.sub(
        r"<validity[^>]*/>", '<validity fromLane="0" toLane="0"/>', load_town("Dream01").xodr
    )
    town = build_town("Dream01", text)
    assert held_here(town) == held_by_the_client(town) == set()
