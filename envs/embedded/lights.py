"""Traffic lights: each junction shows its phases in turn, green, yellow, then all red."""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.towns import Town

RED, YELLOW, GREEN = 0, 1, 2
GREEN_S, YELLOW_S, ALL_RED_S = 9.0, 3.0, 2.0


class TrafficLights:
    """The state of all lights of a town.

    Attributes:
        colour: State of each light, shape (n,).
        elapsed_s: Time in that state.
        green_s, yellow_s, red_s: Set times of each light; `red_s` is the pause with all red.
        frozen: Whether all lights stand still.
    """

    def __init__(self, town: Town) -> None:
        n = len(town.lights)
        self.town = town
        self.colour = np.full(n, RED, np.int64)
        self.elapsed_s = np.zeros(n)
        self.green_s, self.yellow_s = np.full(n, GREEN_S), np.full(n, YELLOW_S)
        self.red_s = np.full(n, ALL_RED_S)
        self.frozen = False
        self.group = np.zeros(n, np.int64)
        for index, junction in enumerate(town.phases):
            for phase in junction:
                self.group[list(phase)] = index
        self.reset()

    def reset(self) -> None:
        """Starts every junction with its first phase green."""
        self.phase = np.zeros(len(self.town.phases), np.int64)
        self.stage = np.full(len(self.town.phases), GREEN)
        self.timer_s = np.zeros(len(self.town.phases))
        for junction in range(len(self.town.phases)):
            self._show(junction)

    def reset_group(self, light: int) -> None:
        """Starts the junction of a light again."""
        junction = int(self.group[light])
        self.phase[junction], self.stage[junction], self.timer_s[junction] = 0, GREEN, 0.0
        self._show(junction)

    def members(self, light: int) -> NDArray[np.int64]:
        """Returns all lights of the junction of a light."""
        return np.nonzero(self.group == self.group[light])[0]

    def set_colour(self, light: int, colour: int) -> None:
        """Sets one light; its junction takes over again with its next change."""
        self.colour[light] = colour
        self.elapsed_s[light] = 0.0

    def tick(self, dt_s: float) -> None:
        """Lets time pass."""
        if self.frozen:
            return
        self.elapsed_s += dt_s
        self.timer_s += dt_s
        for junction in np.nonzero(self.timer_s >= ALL_RED_S - 1e-9)[0]:
            self._advance(int(junction))

    def _advance(self, junction: int) -> None:
        plan = self.town.phases[junction]
        first = plan[self.phase[junction]][0]
        length = {GREEN: self.green_s, YELLOW: self.yellow_s, RED: self.red_s}
        if self.timer_s[junction] < length[int(self.stage[junction])][first] - 1e-9:
            return
        self.timer_s[junction] = 0.0
        if self.stage[junction] == RED:
            self.phase[junction] = (self.phase[junction] + 1) % len(plan)
            self.stage[junction] = GREEN
        else:
            self.stage[junction] -= 1
        self._show(junction)

    def _show(self, junction: int) -> None:
        for number, phase in enumerate(self.town.phases[junction]):
            shown = self.stage[junction] if number == self.phase[junction] else RED
            for light in phase:
                if self.colour[light] != shown:
                    self.elapsed_s[light] = 0.0
                self.colour[light] = shown
