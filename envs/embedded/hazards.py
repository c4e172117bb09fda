"""What a road may have against a driver: kerbs that jolt, and posts that stop who hits them.

CARLA's Traffic Manager does not keep its wheels off them, and the figures that ship were measured
without, so servers leave them out unless they are asked for them.
"""

import math
from functools import lru_cache

import numpy as np

from dreamdrive.envs.embedded.bodies import Vehicles
from dreamdrive.envs.embedded.far_side import second_post
from dreamdrive.envs.embedded.kerbs import climb, kerbs_of
from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.touching import solids_of
from dreamdrive.envs.embedded.town_signals import TownSignal
from dreamdrive.envs.embedded.towns import Town

POST_M, POST_TOP_M = 0.07, 4.5
"""Half the width of a post, and its height."""


@lru_cache(maxsize=8)
def _far_posts(town: Town) -> list[tuple[float, float] | None]:
    """Returns the second post of each light of a town, where it has one."""
    drive = parse_opendrive(town.xodr)
    return [second_post(drive, town, light) for light in town.lights]


class Hazards:
    """The kerbs of a town, and the posts of its lights and signs.

    Args:
        town: The town.
        lights: The actor of each of its lights.
        signs: Its stop signs by their actors.

    Attributes:
        posts: The posts, called after the light or sign that they belong to.
    """

    def __init__(self, town: Town, lights: list[int], signs: dict[int, TownSignal]) -> None:
        self._kerbs = kerbs_of(town)
        rows: list[tuple[float, float, float, float, int]] = []
        far_posts = _far_posts(town)
        for actor, light, far in zip(lights, town.lights, far_posts, strict=True):
            rows.append((light.x, light.y, light.z, light.yaw_deg, actor))
            if far is not None:
                rows.append((*far, town.ground.height(*far, light.z), light.yaw_deg, actor))
        rows += [(sign.x, sign.y, sign.z, sign.yaw_deg, actor) for actor, sign in signs.items()]
        self.posts = solids_of(
            [(x, y, POST_M, POST_M, math.radians(yaw)) for x, y, _, yaw, _ in rows],
            [(z, z + POST_TOP_M) for _, _, z, _, _ in rows], [row[-1] for row in rows],
        )  # fmt: skip
        self._hits = np.zeros((0, 3))

    def climb(self, cars: Vehicles, dt_s: float) -> list[tuple[int, float, float]]:
        """Jolts who has climbed a kerb in the last step; returns actors and impulses in N s."""
        if len(self._hits) < 4 * len(cars):
            self._hits = np.zeros((4 * len(cars), 3))
        kerbs = self._kerbs
        count = climb(cars.state, kerbs.sample, kerbs.surface, *kerbs.origin, dt_s, self._hits)
        return [(int(cars.id[int(i)]), x, y) for i, x, y in self._hits[:count].tolist()]
