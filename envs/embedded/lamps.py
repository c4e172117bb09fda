"""Street lamps: lights beside the lanes that clients switch; no camera shows their shine."""

import math
from typing import Any

from dreamdrive.envs.embedded.arguments import CallError, flag, integer, items, number, numbers
from dreamdrive.envs.embedded.towns import Town

EVERY = 3
"""A lamp stands beside each of so many spawn points."""
ASIDE_M, HEIGHT_M = 4.5, 6.0
STREET_GROUP = 2
INTENSITY = 10_000.0


class Lamps:
    """The state of all lamps of a town, as the wire has it.

    Attributes:
        states: `[id, location, intensity, group, colour, active]` of each lamp, by its number.
        follow_sun: Whether the sun switches all lamps, off as it rises and on as it sets.
    """

    def __init__(self, town: Town) -> None:
        self.states: dict[int, list[Any]] = {}
        self.follow_sun = True
        self._is_night: bool | None = None
        for lamp, (x, y, z, yaw_deg) in enumerate(town.spawn_points[::EVERY], start=1):
            yaw = math.radians(yaw_deg)
            at = [x - ASIDE_M * math.sin(yaw), y + ASIDE_M * math.cos(yaw), z + HEIGHT_M]
            self.states[lamp] = [lamp, at, INTENSITY, STREET_GROUP, [255, 244, 214], False]

    def see_sun(self, altitude_deg: float) -> bool:
        """Switches all lamps if the sun has risen or set meanwhile; returns whether it has.

        What a client switches stays so until the next sunset or sunrise.
        """
        is_night = altitude_deg < 0.0 if self.follow_sun else None
        before, self._is_night = self._is_night, is_night
        if is_night is None or is_night == bool(before):
            return False
        for state in self.states.values():
            state[5] = is_night
        return True

    def update(self, states: Any) -> None:
        """Takes over states; the lamps stay where they are.

        Raises:
            CallError: If one is no state of a lamp of the town; then none is taken over.
        """
        taken = {}
        for state in items(states, "lights"):
            lamp, location, intensity, group, colour, active = items(state, "light", 6)
            if lamp not in self.states:
                raise CallError(f"there is no light {lamp}")
            numbers(location, "location", 3)
            taken[lamp] = [
                lamp, self.states[lamp][1], number(intensity, "intensity", 0.0),
                integer(group, "group", 0, 4),
                [integer(value, "color", 0, 255) for value in items(colour, "color", 3)],
                flag(active, "active"),
            ]  # fmt: skip
        self.states.update(taken)
