"""Where the ego was about to hit somebody, and whose fault a contact was.

Shapes: M sightings of actors, T ticks, K = 4 axes of separation. Boxes are x, y, yaw, half length,
half width.
"""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.experiments.event_log import LogEvent, Ticks

HORIZON_S = 0.95
STEP_S = 0.1
STANDING_MPS = 0.1


def about_to_collide(ticks: Ticks) -> NDArray[np.bool_]:
    """Returns at which ticks a contact was less than 0.95 s away, shape (T,).

    Ego and actors go on at constant velocity; actors whose centre is not ahead of the ego's do not
    count, nor does a standing ego.

    Reference:
        motional/nuplan-devkit, `time_to_collision_within_bound.py`.
    """
    at = ticks.actor_tick
    x, y, yaw, speed = (ticks.column(name)[at] for name in ("x", "y", "yaw_rad", "speed_mps"))
    heading = np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
    offset = np.stack([ticks.actor("x") - x, ticks.actor("y") - y], axis=1)
    velocity = np.stack([ticks.actor("velocity_x"), ticks.actor("velocity_y")], axis=1)
    closing = velocity - speed[:, None] * heading
    is_ahead = (offset * heading).sum(1) > 0.0
    sizes = (
        np.tile([ticks.ego_half_length_m, ticks.ego_half_width_m], (len(at), 1)),
        np.stack([ticks.actor("half_length_m"), ticks.actor("half_width_m")], axis=1),
    )
    hits = np.zeros(len(at), bool)
    for after_s in np.arange(0.0, HORIZON_S, STEP_S):
        hits |= _overlap(offset + after_s * closing, (yaw, ticks.actor("yaw_rad")), sizes)
    counted = hits & is_ahead & (np.abs(speed) > STANDING_MPS)
    found = np.zeros(len(ticks), bool)
    found[at[counted]] = True
    return found


def _overlap(
    offset_M2: NDArray[np.float64],
    yaws: tuple[NDArray[np.float64], NDArray[np.float64]],
    sizes: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.bool_]:
    """Returns which pairs of boxes overlap by the separating axes, shape (M,)."""
    overlap = np.ones(len(offset_M2), bool)
    for axis_yaw in (yaws[0], yaws[0] + np.pi / 2, yaws[1], yaws[1] + np.pi / 2):
        distance = np.abs(offset_M2[:, 0] * np.cos(axis_yaw) + offset_M2[:, 1] * np.sin(axis_yaw))
        reach = sum(
            size[:, 0] * np.abs(np.cos(yaw - axis_yaw))
            + size[:, 1] * np.abs(np.sin(yaw - axis_yaw))
            for yaw, size in zip(yaws, sizes, strict=True)
        )
        overlap &= distance <= reach
    return overlap


def is_at_fault(ticks: Ticks, contact: LogEvent) -> bool | None:
    """Returns whether the ego caused a contact; None where the log does not show the other.

    Not its fault: it stood, or the other came from behind its rear. Contacts at the side count as
    its fault.

    Reference:
        motional/nuplan-devkit, `no_ego_at_fault_collisions.py`, which also asks at the side
        whether the ego kept its lane.
    """
    time_s = ticks.column("time_s")
    before = max(0, int(np.searchsorted(time_s, contact.time_s - 1e-6)) - 1)
    if abs(ticks.column("speed_mps")[before]) < STANDING_MPS:
        return False
    rows = np.flatnonzero((ticks.actor_tick == before) & (ticks.actor("id") == contact.other))
    if not len(rows):
        return None
    x, y, yaw = (float(ticks.column(name)[before]) for name in ("x", "y", "yaw_rad"))
    dx, dy = ticks.actor("x")[rows[0]] - x, ticks.actor("y")[rows[0]] - y
    return bool(dx * np.cos(yaw) + dy * np.sin(yaw) > -ticks.ego_half_length_m)
