"""Sensors' attributes as numbers, checked when a sensor is spawned."""

import math
from collections.abc import Mapping

from dreamdrive.envs.embedded.render.attributes import RENDERED, SWITCHES
from dreamdrive.envs.embedded.world import SpawnError

BOUNDS: dict[str, tuple[float, float]] = {
    "image_size_x": (1, 4096), "image_size_y": (1, 4096), "fov": (1, 170),
    "sensor_tick": (0, 1e6), "channels": (1, 1024), "range": (0.01, 5000),
    "points_per_second": (1, 2e7), "rotation_frequency": (0, 1000), "upper_fov": (-90, 90),
    "lower_fov": (-90, 90), "horizontal_fov": (1, 360), "vertical_fov": (1, 170),
    "atmosphere_attenuation_rate": (0, 100), "dropoff_general_rate": (0, 1),
    "dropoff_intensity_limit": (0, 1), "dropoff_zero_intensity": (0, 1), "noise_stddev": (0, 1000),
    "noise_seed": (0, 2**31 - 1), "distance": (0.01, 5000), "hit_radius": (0, 100),
    "positive_threshold": (0.001, 100), "negative_threshold": (0.001, 100),
    "sigma_positive_threshold": (0, 100), "sigma_negative_threshold": (0, 100),
    "refractory_period_ns": (0, 1e12), "log_eps": (1e-9, 1),
}  # fmt: skip
"""The values that an attribute may have; those that are not here change nothing."""
AGE = "messages_before"
"""The setting that says how many messages a sensor would have sent before, had somebody listened.

Noise and turning follow it, so that a frame is the same whenever one began to listen.
"""


def settings_of(kind: str, attributes: Mapping[str, str]) -> dict[str, float]:
    """Returns the settings of a sensor that looks at geometry; what is not given is as in CARLA.

    Switches are 0 or 1.

    Raises:
        SpawnError: If an attribute is no number or out of its bounds.
    """
    known = {"sensor_tick": "0.0", **RENDERED[kind], **attributes}
    found = {}
    for name, text in known.items():
        if name in SWITCHES:
            found[name] = float(text.lower() in ("true", "1"))
        elif name in BOUNDS:
            low, high = BOUNDS[name]
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not low <= value <= high:
                raise SpawnError(
                    f"unable to spawn {kind}: {name} must lie within [{low:g}, {high:g}], "
                    f"got {text!r}"
                )
            found[name] = value
    return found
