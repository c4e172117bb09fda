"""What an adapter has to know of somebody's driving simulator, in ISO axes and SI units."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.roads.line import RouteLine

Mark = Literal["none", "broken", "solid"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneStrip:
    """A lane.

    Attributes:
        pose: x, y and yaw of its middle each half metre, shape (n, 3).
        width_m: Shape (n,).
        left: Mark on its left edge.
        right: Mark on its right edge.
    """

    pose: NDArray[np.float64]
    width_m: NDArray[np.float64]
    left: Mark = "none"
    right: Mark = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What stays as it is during an episode: the lanes, and the route through them."""

    lanes: tuple[LaneStrip, ...]
    route: RouteLine


def no_boxes() -> NDArray[np.float64]:
    """Returns an empty list of boxes."""
    return np.zeros((0, 5))


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """The ego and those around it at one instant; boxes as in `dreamdrive.envs.carla.bev`.

    Attributes:
        ego: The ego's box: x, y, yaw, half length, half width; shape (5,).
        speed_mps: Of the ego along its heading.
        speed_limit_mps: In force at the ego.
        vehicles: Boxes of the others, shape (n, 5).
        walkers: Boxes of walkers, shape (m, 5).
        collision: The cause of a contact of the ego, as in `dreamdrive.driving.causes`.
        is_on_road: Whether the ego's middle is on a lane.
    """

    ego: NDArray[np.float64]
    speed_mps: float
    speed_limit_mps: float
    vehicles: NDArray[np.float64] = field(default_factory=no_boxes)
    walkers: NDArray[np.float64] = field(default_factory=no_boxes)
    collision: str = ""
    is_on_road: bool = True


class Simulator(Protocol):
    """Somebody's simulator, one decision of 0.1 s at a time."""

    def begin(self, rng: np.random.Generator) -> Layout:
        """Starts an episode, all of whose chance comes from `rng`."""

    def drive(self, curvature_1pm: float, acceleration_mps2: float) -> None:
        """Holds a curvature (positive to the left) and an acceleration for a decision.

        The ego stands, and does not roll back, where the brake has stopped it.
        """

    def traffic(self) -> Traffic:
        """Returns the present instant."""

    def picture(self) -> NDArray[np.uint8] | None:
        """Returns the simulator's own picture of it, if it draws any."""

    def close(self) -> None:
        """Frees it."""
