"""Calls about textures: an object of the town takes the mean colour of the one that it is given.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

from typing import Any

import numpy as np

from dreamdrive.envs.embedded.arguments import CallError, integer, items, text
from dreamdrive.envs.embedded.environment import environment_of
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.errors import MapError

DIFFUSE, EMISSIVE = 2, 3
"""CARLA's `MaterialParameter`: 2 is a surface's own colour; 0, 1 and 3 have no effect here."""
BYTE = 255.0


class TextureCalls:
    """Procedures that give objects textures."""

    def __init__(self, simulator: Simulator) -> None:
        self.sim = simulator

    def apply_color_texture_to_objects(
        self, names: list[str], parameter: int, texture: list[Any]
    ) -> None:
        self._apply(names, parameter, texture, BYTE)

    def apply_float_color_texture_to_objects(
        self, names: list[str], parameter: int, texture: list[Any]
    ) -> None:
        self._apply(names, parameter, texture, 1.0)

    def _apply(self, names: list[str], parameter: int, texture: list[Any], white: float) -> None:
        world = self.sim.world
        try:
            objects = environment_of(world.town)
        except MapError as error:
            raise CallError(str(error)) from error
        number = {made.name: index for index, made in enumerate(objects)}
        chosen = [text(name, "objects_name") for name in items(names, "objects_name")]
        unknown = next((name for name in chosen if name not in number), None)
        if unknown is not None:
            raise CallError(
                f"{unknown[:80]!r} takes no texture: environment objects of this town do, by name"
            )
        colour = _mean(texture, white)
        if integer(parameter, "parameter", 0, EMISSIVE) == DIFFUSE:
            world.paints = {**world.paints, **dict.fromkeys((number[n] for n in chosen), colour)}


def _mean(texture: list[Any], white: float) -> tuple[float, float, float]:
    """Returns the mean of a texture's red, green and blue, within [0, 1].

    Raises:
        CallError: If it is broken, or has no pixels.
    """
    width, height, pixels = items(texture, "texture", 3)
    try:
        values = np.array(items(pixels, "texture"), np.float64).reshape(-1, 4)
    except (TypeError, ValueError) as error:
        raise CallError("texture: each pixel is four numbers") from error
    count = integer(width, "width") * integer(height, "height")
    if len(values) != count or not count:
        raise CallError(f"texture: {width} by {height} pixels, of which there are {len(values)}")
    red, green, blue = np.clip(values[:, :3].mean(0) / white, 0.0, 1.0).tolist()
    return red, green, blue
