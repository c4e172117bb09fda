"""What speed limits would be if vehicles kept the number of the last sign that they passed.

`python -m support.sign_limits TOWN ...` tells how many metres of driving lane that would change. A
vehicle that has passed no sign since it was spawned has 30 km/h, as with CARLA.
"""

import sys
from collections import Counter

from dreamdrive.envs.embedded.opendrive import OpenDrive, parse_opendrive
from dreamdrive.envs.embedded.towns import Town, load_town

FIRST_KMH, STEP_M = 30.0, 1.0
Piece = tuple[int, int, int]
"""A road, one of its sections, and a lane."""


def following(drive: OpenDrive) -> dict[Piece, set[Piece]]:
    """Returns the driving lanes that traffic of each may go on to."""
    pieces = [
        (road.id, index, lane.id)
        for road in drive.roads.values()
        for index, section in enumerate(road.sections)
        for lane in section.lanes.values()
        if lane.kind == "driving"
    ]
    found: dict[Piece, set[Piece]] = {piece: set() for piece in pieces}
    for road_id, index, number in pieces:
        road = drive.roads[road_id]
        lane = road.sections[index].lanes[number]
        for is_ahead in (True, False):
            name = lane.successor if is_ahead else lane.predecessor
            beside = index + (1 if is_ahead else -1)
            link = road.successor if is_ahead else road.predecessor
            if 0 <= beside < len(road.sections):
                other = (road_id, beside, name)
            elif link is not None and link[0] == "road" and link[1] in drive.roads:
                at = 0 if link[2] == "start" else len(drive.roads[link[1]].sections) - 1
                other = (link[1], at, name)
            else:
                continue
            if other not in found:
                continue
            if is_ahead == (number < 0):
                found[road_id, index, number].add(other)
            else:
                found[other].add((road_id, index, number))
    return found


def signs_along(town: Town, drive: OpenDrive, piece: Piece) -> list[tuple[float, float]]:
    """Returns where a lane has signs and what they say, as its traffic passes them."""
    road, index, lane = piece
    section = drive.roads[road].sections[index]
    found = {
        (line.s, sign.value)
        for sign in town.limit_signs
        for line in sign.lines
        if (line.road_id, line.lane_id) == (road, lane) and section.start <= line.s < section.end
    }
    return sorted(found, reverse=lane > 0)


def limits_at_entries(town: Town, drive: OpenDrive) -> dict[Piece, set[float]]:
    """Returns what vehicles may have as their limit when they come to each lane, in km/h."""
    after = following(drive)
    entering: dict[Piece, set[float]] = {piece: set() for piece in after}
    waiting = list(after)
    while waiting:
        piece = waiting.pop()
        signs = signs_along(town, drive, piece)
        # Traffic begins on any lane.
        leaving = {signs[-1][1]} if signs else entering[piece] | {FIRST_KMH}
        for other in after[piece]:
            if not leaving <= entering[other]:
                entering[other] |= leaving
                waiting.append(other)
    return entering


def metres(town: Town) -> Counter[tuple[str, float]]:
    """Returns the metres of driving lane by what signs say and by the road's limit in km/h."""
    drive = parse_opendrive(town.xodr)
    found: Counter[tuple[str, float]] = Counter()
    for piece, entering in limits_at_entries(town, drive).items():
        road, index, lane = piece
        section, signs = drive.roads[road].sections[index], signs_along(town, drive, piece)
        count = max(1, round((section.end - section.start) / STEP_M))
        for k in range(count):
            s = section.start + (k + 0.5) * (section.end - section.start) / count
            passed = [value for at, value in signs if (at <= s if lane < 0 else at >= s)]
            limits = {passed[-1]} if passed else entering | {FIRST_KMH}
            words = " or ".join(f"{value:g}" for value in sorted(limits))
            found[words, round(3.6 * drive.roads[road].speed_mps, 1)] += (
                section.end - section.start
            ) / count
    return found


def main() -> None:
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name}\n")
        for (words, limit), length in sorted(metres(load_town(name)).items()):
            sys.stdout.write(f"  signs {words}, road {limit:g} km/h: {length:.0f} m\n")


if __name__ == "__main__":
    main()
