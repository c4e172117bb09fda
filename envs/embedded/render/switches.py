"""Which lamps are on: those of vehicles, and of streets."""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.world import World

POSITION, LOW_BEAM, HIGH_BEAM, BRAKE = 1, 2, 4, 8
"""Flags of a vehicle's light state, those that are seen."""
SHINING = POSITION | LOW_BEAM | HIGH_BEAM
BRAKING = 0.05
"""Pedal from which brake lights are on."""


def vehicle_flags(world: World, is_dark: bool) -> NDArray[np.int64]:
    """Returns the flags of the lamps that are on, by vehicle.

    Those of whom nobody has told drive with low beams in the dark, and all show that they brake.
    """
    cars, own = world.vehicles, POSITION | LOW_BEAM if is_dark else 0
    told = [world.light_states.get(actor, own) for actor in cars.id.tolist()]
    return np.array(told, np.int64) | np.where(cars.brake > BRAKING, BRAKE, 0)


def lit_posts(world: World) -> list[int]:
    """Returns the numbers of the lamp posts that shine, among the solid objects of the town."""
    lamps = world.lamps
    return [
        post for post, state in zip(lamps.posts, lamps.states.values(), strict=True) if state[5]
    ]
