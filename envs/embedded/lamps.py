"""Street lamps that clients switch: the town's lamp posts, or places where it has none."""

import math
from typing import Any

from dreamdrive.envs.embedded.arguments import CallError, flag, integer, items, number, numbers
from dreamdrive.envs.embedded.environment import lamp_posts
from dreamdrive.envs.embedded.towns import Town
from dreamdrive.errors import MapError

EVERY = 3
"""Without lamp posts a lamp is beside each of so many spawn points."""
ASIDE_M, HEIGHT_M = 4.5, 6.0
STREET_GROUP = 2
INTENSITY = 10_000.0
NO_POST = -1


class Lamps:
    """The state of all lamps of a town, as the wire has it; they are found when one asks for them.

    Attributes:
        follow_sun: Whether the sun switches all lamps, off as it rises and on as it sets.
    """

    def __init__(self, town: Town) -> None:
        self.follow_sun = True
        self._town = town
        self._states: dict[int, list[Any]] | None = None
        self._posts: list[int] = []
        self._is_night: bool | None = None
        self._are_on = False

    @property
    def states(self) -> dict[int, list[Any]]:
        """`[id, location, intensity, group, colour, active]` of each lamp, by its number."""
        if self._states is None:
            self._states = {}
            for lamp, (post, place) in enumerate(_found(self._town), start=1):
                self._posts.append(post)
                colour = [255, 244, 214]
                self._states[lamp] = [
                    lamp, list(place), INTENSITY, STREET_GROUP, colour, self._are_on,
                ]  # fmt: skip
        return self._states

    @property
    def posts(self) -> list[int]:
        """The number of each lamp's post among the solid objects of the town, or `NO_POST`."""
        return self._posts if self.states else []

    def see_sun(self, altitude_deg: float) -> bool:
        """Switches all lamps if the sun has risen or set meanwhile; returns whether it has.

        What a client switches stays so until the next sunset or sunrise.
        """
        is_night = altitude_deg < 0.0 if self.follow_sun else None
        before, self._is_night = self._is_night, is_night
        if is_night is None or is_night == bool(before):
            return False
        self._are_on = is_night
        for state in (self._states or {}).values():
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


def _found(town: Town) -> list[tuple[int, tuple[float, float, float]]]:
    """Returns the post and the place of each lamp."""
    try:
        posts = lamp_posts(town)
    except MapError:  # Nobody can draw this town, but clients may drive in it.
        posts = ()
    if posts:
        return list(posts)
    found = []
    for x, y, z, yaw_deg in town.spawn_points[::EVERY]:
        yaw = math.radians(yaw_deg)
        at = (x - ASIDE_M * math.sin(yaw), y + ASIDE_M * math.cos(yaw), z + HEIGHT_M)
        found.append((NO_POST, at))
    return found
