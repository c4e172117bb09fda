"""How walkers move: where they are told, up when they jump, and aside when something hits them.

Reference:
    Jump speed as in Unreal's character movement, 420 cm/s. Who is hit slides with a coefficient of
    friction of 0.6, as is usual for clothing on dry asphalt (Searle and Searle 1983, SAE 831622).
"""

import math
from typing import Any

from numba import float64, from_dtype, void

from dreamdrive.envs.embedded.bodies import WALKER_STATE
from dreamdrive.envs.embedded.compiled import compiled

JUMP_MPS = 4.2
GRAVITY_MPS2 = 9.81
SLIDE_MPS2 = 0.6 * GRAVITY_MPS2
KNOCKED_OVER_MPS = 1.0
"""Who is pushed faster than this loses the ground and slides; slower, steps aside."""


@compiled()
def _rise(walker: Any, dt_s: float) -> None:
    """Moves a walker in the air by one time step; it lands where it left the ground."""
    walker.z += (walker.rise - 0.5 * GRAVITY_MPS2 * dt_s) * dt_s
    walker.rise -= GRAVITY_MPS2 * dt_s
    if walker.z <= walker.floor and walker.rise < 0.0:
        walker.z, walker.rise, walker.airborne = walker.floor, 0.0, 0.0


@compiled(void(from_dtype(WALKER_STATE)[::1], float64))
def walk(walkers: Any, dt_s: float) -> None:
    """Moves walkers along their directions by one time step, in place.

    Those without physics are where their owner puts them, and have the velocity that he says.

    Args:
        walkers: Rows of `WALKER_STATE`, shape (n,).
        dt_s: Length of the step.
    """
    for i in range(len(walkers)):
        walker = walkers[i]
        x, y = walker.direction[0], walker.direction[1]
        slide = math.hypot(walker.knocked[0], walker.knocked[1])
        if slide > 0.0 and walker.physics > 0.0:
            left = max(slide - SLIDE_MPS2 * dt_s, 0.0) / slide
            for d in range(2):
                walker.velocity[d] = walker.knocked[d]
                walker.knocked[d] *= left
        else:
            speed = walker.speed / max(math.hypot(x, y), 1e-6)
            walker.velocity[0], walker.velocity[1] = x * speed, y * speed
            walker.walked += walker.speed * dt_s
            if walker.speed > 0.0 and walker.physics > 0.0:
                walker.pose[2] = math.atan2(y, x)
        if walker.physics <= 0.0:
            continue
        walker.pose[0] += walker.velocity[0] * dt_s
        walker.pose[1] += walker.velocity[1] * dt_s
        if walker.airborne > 0.0:
            _rise(walker, dt_s)
