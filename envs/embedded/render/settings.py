"""Sensors' attributes as numbers, checked when a sensor is spawned."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dreamdrive.envs.embedded.render.attributes import RENDERED
from dreamdrive.envs.embedded.render.view import Lens
from dreamdrive.envs.embedded.world import SpawnError

MAX_PIXELS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraSettings:
    """A camera: which it is, and its lens."""

    kind: str
    lens: Lens


def settings_of(kind: str, attributes: Mapping[str, str]) -> CameraSettings:
    """Returns the settings of a sensor that looks at geometry; what is not given is as in CARLA.

    Raises:
        SpawnError: If an attribute is no number or out of its bounds.
    """
    known = {**RENDERED[kind], **attributes}

    def number(name: str, low: float, high: float) -> float:
        try:
            value = float(known[name])
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise SpawnError(
                f"unable to spawn {kind}: {name} must lie within [{low:g}, {high:g}], "
                f"got {known[name]!r}"
            )
        return value

    size = [int(number(f"image_size_{axis}", 1, MAX_PIXELS)) for axis in "xy"]
    return CameraSettings(kind=kind, lens=Lens(size[0], size[1], number("fov", 1.0, 170.0)))
