"""Which lights of a junction are green together, and in what order."""

import math
from collections.abc import Sequence

from dreamdrive.envs.embedded.curves import wrap
from dreamdrive.envs.embedded.opendrive import OpenDrive

Phase = tuple[int, ...]
FACING_RAD = 0.7
"""Lights face each other if their headings differ from opposite ones by less than this."""


def phases_of(
    drive: OpenDrive, lights: Sequence[tuple[str, float]]
) -> tuple[tuple[Phase, ...], ...]:
    """Returns each junction's phases in turn: the numbers of lights that are green together.

    Lights belong to the junction whose controllers name them, and each controller is green in its
    turn, as on the Unreal server: whoever turns left then meets nobody. A map that has one
    controller for all of a junction does not say who is green when, so lights that face each other
    are. A light that no junction's controller names is by itself.

    Args:
        drive: The map.
        lights: The signal's number and the heading in degrees of each light.
    """
    number = {name: i for i, (name, _) in enumerate(lights)}
    junctions: list[tuple[Phase, ...]] = []
    grouped: set[int] = set()
    for controllers in drive.junction_controllers.values():
        turns: list[Phase] = []
        for controller in controllers:
            named = dict.fromkeys(drive.controller_signals.get(controller, []))
            members = tuple(number[s] for s in named if s in number and number[s] not in grouped)
            grouped.update(members)
            if members:
                turns.append(members)
        if len(turns) == 1:
            turns = _facing(turns[0], lights)
        if turns:
            junctions.append(tuple(turns))
    junctions += [((i,),) for i in range(len(lights)) if i not in grouped]
    return tuple(junctions)


def _facing(members: Phase, lights: Sequence[tuple[str, float]]) -> list[Phase]:
    """Returns some lights, those together that face each other."""
    left, turns = list(members), []
    while left:
        first = left.pop(0)
        facing = [i for i in left if _face(lights[first][1], lights[i][1])]
        left = [i for i in left if i not in facing]
        turns.append((first, *facing))
    return turns


def _face(a_deg: float, b_deg: float) -> bool:
    return abs(wrap(math.radians(a_deg - b_deg + 180.0))) < FACING_RAD
