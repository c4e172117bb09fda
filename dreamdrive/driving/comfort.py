"""Bounds of comfortable motion.

Reference:
    nuPlan, `nuplan-devkit`, ego comfort metrics; the same numbers in NAVSIM and Bench2Drive.
"""

from typing import NamedTuple


class Bound(NamedTuple):
    """What a signal of the ego's motion may be while it is comfortable."""

    name: str
    unit: str
    low: float
    high: float


COMFORT_BOUNDS: tuple[Bound, ...] = (
    Bound("longitudinal_acceleration", "m/s²", -4.05, 2.40),
    Bound("lateral_acceleration", "m/s²", -4.89, 4.89),
    Bound("yaw_rate", "rad/s", -0.95, 0.95),
    Bound("yaw_acceleration", "rad/s²", -1.93, 1.93),
    Bound("longitudinal_jerk", "m/s³", -4.13, 4.13),
    Bound("jerk", "m/s³", -8.37, 8.37),
)
"""In the order in which motions are stacked; the last is the size of the jerk's vector."""
