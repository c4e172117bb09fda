"""Traffic lights: each junction shows its phases in turn, green, yellow, then all red."""

from typing import Any

import numpy as np
from numba import float64, from_dtype, int64, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.towns import Town

RED, YELLOW, GREEN = 0, 1, 2
GREEN_S, YELLOW_S, ALL_RED_S = 9.0, 3.0, 2.0

LIGHT_STATE = np.dtype(
    [
        ("colour", "i8"), ("elapsed_s", "f8"), ("green_s", "f8"), ("yellow_s", "f8"),
        ("red_s", "f8"), ("group", "i8"), ("turn", "i8"), ("frozen", "i8"),
    ],
    align=True,
)  # fmt: skip
"""A light: what it shows, for how long, its set times, its junction, its phase there, a halt."""
JUNCTION_STATE = np.dtype(
    [("phase", "i8"), ("stage", "i8"), ("timer_s", "f8"), ("num_phases", "i8")], align=True
)
"""A junction: the phase in turn, what it shows, for how long, and how many phases there are."""


class TrafficLights:
    """The state of all lights of a town.

    Attributes:
        state: Rows of `LIGHT_STATE`, shape (n,); the next five are views into it.
        colour: State of each light, shape (n,).
        elapsed_s: Time in that state.
        green_s, yellow_s, red_s: Set times of each light; `red_s` is the pause with all red.
        frozen: Whether all lights stand still.
        junctions: Rows of `JUNCTION_STATE`, shape (g,).
    """

    def __init__(self, town: Town) -> None:
        self.state = np.zeros(len(town.lights), LIGHT_STATE)
        self.colour, self.elapsed_s = self.state["colour"], self.state["elapsed_s"]
        self.green_s, self.yellow_s = self.state["green_s"], self.state["yellow_s"]
        self.red_s = self.state["red_s"]
        self.colour[:] = RED
        self.green_s[:], self.yellow_s[:], self.red_s[:] = GREEN_S, YELLOW_S, ALL_RED_S
        self.frozen = False
        self.junctions = np.zeros(len(town.phases), JUNCTION_STATE)
        most = max((len(junction) for junction in town.phases), default=0)
        self._leads = np.zeros((len(town.phases), most), np.int64)
        for group, junction in enumerate(town.phases):
            self.junctions[group]["num_phases"] = len(junction)
            for turn, phase in enumerate(junction):
                self.state["group"][list(phase)], self.state["turn"][list(phase)] = group, turn
                self._leads[group, turn] = phase[0]
        self.reset()

    def reset(self) -> None:
        """Starts every junction with its first phase green."""
        for group in range(len(self.junctions)):
            _restart(self.state, self.junctions, group)

    def reset_group(self, light: int) -> None:
        """Starts the junction of a light again."""
        _restart(self.state, self.junctions, self.state[light]["group"])

    def members(self, light: int) -> NDArray[np.int64]:
        """Returns all lights of the junction of a light."""
        return np.nonzero(self.state["group"] == self.state[light]["group"])[0]

    def poles(self) -> NDArray[np.int64]:
        """Returns the number of each light among those of its junction, shape (n,)."""
        group = self.state["group"]
        found = np.zeros(len(group), np.int64)
        for i in range(len(group)):
            found[i] = np.count_nonzero(group[:i] == group[i])
        return found

    def freeze_group(self, light: int, frozen: bool) -> None:
        """Halts the junction of a light, or lets it go on."""
        self.state["frozen"][self.members(light)] = frozen

    def freeze(self, frozen: bool) -> None:
        """Halts all lights, or lets all go on, those of halted junctions too."""
        self.frozen = frozen
        if not frozen:
            self.state["frozen"] = False

    def set_colour(self, light: int, colour: int) -> None:
        """Sets one light; its junction takes over again with its next change."""
        self.colour[light] = colour
        self.elapsed_s[light] = 0.0

    def tick(self, dt_s: float) -> None:
        """Lets time pass."""
        if not self.frozen:
            _pass_time(self.state, self.junctions, self._leads, dt_s)


_LIGHTS, _JUNCTIONS = from_dtype(LIGHT_STATE)[::1], from_dtype(JUNCTION_STATE)[::1]


@compiled()
def _show(lights: Any, junction: Any, group: int) -> None:
    """Sets the lights of a junction to what its phase and stage ask for."""
    for i in range(len(lights)):
        light = lights[i]
        if light.group == group:
            shown = junction.stage if light.turn == junction.phase else RED
            if light.colour != shown:
                light.colour, light.elapsed_s = shown, 0.0


@compiled(void(_LIGHTS, _JUNCTIONS, int64))
def _restart(lights: Any, junctions: Any, group: int) -> None:
    """Starts a junction with its first phase green."""
    junction = junctions[group]
    junction.phase, junction.stage, junction.timer_s = 0, GREEN, 0.0
    _show(lights, junction, group)


@compiled(void(_LIGHTS, _JUNCTIONS, int64[:, ::1], float64))
def _pass_time(lights: Any, junctions: Any, leads: NDArray[np.int64], dt_s: float) -> None:
    """Lets time pass; `leads` has the light whose set times hold for each junction's phases."""
    for i in range(len(lights)):
        if lights[i].frozen == 0:
            lights[i].elapsed_s += dt_s
    for group in range(len(junctions)):
        junction = junctions[group]
        lead = lights[leads[group, junction.phase]]
        if lead.frozen != 0:
            continue
        junction.timer_s += dt_s
        length_s = lead.red_s
        if junction.stage == GREEN:
            length_s = lead.green_s
        elif junction.stage == YELLOW:
            length_s = lead.yellow_s
        if junction.timer_s >= max(length_s, ALL_RED_S) - 1e-9:
            junction.timer_s = 0.0
            if junction.stage == RED:
                junction.phase = (junction.phase + 1) % junction.num_phases
                junction.stage = GREEN
            else:
                junction.stage -= 1
            _show(lights, junction, group)
