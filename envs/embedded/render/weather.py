"""Light and air as CARLA's weather parameters ask for them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CLOUDINESS, PRECIPITATION, WIND, SUN_AZIMUTH, SUN_ALTITUDE = 0, 1, 3, 4, 5
FOG_DENSITY, FOG_DISTANCE, FOG_FALLOFF, WETNESS = 6, 7, 8, 9
SCATTERING, MIE, RAYLEIGH, DUST = 10, 11, 12, 13
"""Places in the list of weather parameters."""

DAY_ZENITH, DAY_HORIZON = (0.27, 0.50, 0.85), (0.76, 0.84, 0.92)
CLOUD_ZENITH, CLOUD_HORIZON = (0.55, 0.58, 0.62), (0.74, 0.76, 0.78)
NIGHT_ZENITH, NIGHT_HORIZON = (0.02, 0.03, 0.07), (0.05, 0.06, 0.11)
DUSK_HORIZON = (0.93, 0.58, 0.34)
DUST_AIR = (0.66, 0.52, 0.36)
CLEAR_HAZE_PER_M, FOG_PER_M, RAIN_PER_M, DUST_PER_M = 0.0008, 0.05, 0.006, 0.03
"""Share of light that is lost on each metre: in clear air, the thickest fog, the heaviest rain, the
densest dust."""
FOG_HALF_M = 10.0
"""Over how many metres of height fog of `fog_falloff` 1 thins to half, as Unreal's does; CARLA says
that it reaches normal houses, and that of 5 lies on the ground."""
FOG_GLOW = 0.5
"""Share of the sun's light that the thickest fog sends on where one looks at the sun."""
CLEAR_MIE, CLEAR_RAYLEIGH = 0.03, 0.0331
"""CARLA's scales of scattering by particles and by air, in clear air; more of the first than
that is haze, and without the second the sky is as pale above as at the horizon."""
MOST_SCATTERING = 10.0

Array = NDArray[np.float64]


class Light(NamedTuple):
    """What falls on surfaces and lies between them and the eye.

    Attributes:
        sun: Unit vector towards the sun, shape (3,).
        direct, ambient: Light from the sun and from everywhere, red, green, blue, shape (3,).
        zenith, horizon: Colours of the sky, shape (3,); haze has the horizon's.
        haze: Share of light that is lost on each metre of air, the distance from which it is, and
            how wet the roads are, shape (3,).
        fog: Share of light that is lost on each metre of fog at the ground, by which power of e fog
            thins on each metre up, and the share of the sun's light that it sends on, shape (3,).
    """

    sun: Array
    direct: Array
    ambient: Array
    zenith: Array
    horizon: Array
    haze: Array
    fog: Array


def is_dark(weather: Sequence[float]) -> bool:
    """Returns whether vehicles drive with their lamps on."""
    return weather[SUN_ALTITUDE] < 3.0


def share_of(percent: float) -> float:
    """Returns a percentage as a share within [0, 1]."""
    return min(max(percent / 100.0, 0.0), 1.0)


def light_of(weather: Sequence[float]) -> Light:
    """Returns the light of weather parameters in their order on the wire."""
    altitude, azimuth = (math.radians(weather[i]) for i in (SUN_ALTITUDE, SUN_AZIMUTH))
    sun = np.array(
        [math.cos(altitude) * math.cos(azimuth), math.cos(altitude) * math.sin(azimuth),
         math.sin(altitude)]
    )  # fmt: skip
    day = _smooth(weather[SUN_ALTITUDE], -6.0, 12.0)
    low = 1.0 - _smooth(abs(weather[SUN_ALTITUDE]), 2.0, 20.0)
    cloud = share_of(weather[CLOUDINESS])
    rain = share_of(weather[PRECIPITATION])
    zenith = _mix(NIGHT_ZENITH, _mix(DAY_ZENITH, CLOUD_ZENITH, cloud), day)
    horizon = _mix(NIGHT_HORIZON, _mix(DAY_HORIZON, CLOUD_HORIZON, cloud), day)
    horizon = _mix(horizon, DUSK_HORIZON, 0.7 * low * day * (1.0 - cloud))
    zenith = _mix(horizon, zenith, _scattering(weather[RAYLEIGH], CLEAR_RAYLEIGH) ** 0.5)
    zenith = np.clip(zenith, 0.0, 1.0)
    dust = share_of(weather[DUST])
    if dust > 0.0:
        air = np.array(DUST_AIR) * (0.08 + 0.92 * day)
        zenith, horizon = _mix(zenith, air, 0.8 * dust), _mix(horizon, air, dust)
    shining = (
        day * (1.0 - 0.8 * cloud) * (1.0 - 0.7 * dust) * _smooth(weather[SUN_ALTITUDE], -1.0, 15.0)
    )
    direct = 0.62 * shining * _mix((1.0, 0.97, 0.90), (1.0, 0.70, 0.42), low)
    ambient = _mix((0.30, 0.31, 0.38), _mix((0.52, 0.55, 0.60), (0.66, 0.67, 0.69), cloud), day)
    fog = share_of(weather[FOG_DENSITY])
    clear = CLEAR_HAZE_PER_M * max(_scattering(weather[MIE], CLEAR_MIE), 1.0)
    lost = clear + RAIN_PER_M * rain + DUST_PER_M * dust
    wet = max(share_of(weather[WETNESS]), rain)
    thins = max(weather[FOG_FALLOFF], 0.0) * math.log(2.0) / FOG_HALF_M
    sent_on = FOG_GLOW * min(max(weather[SCATTERING], 0.0), MOST_SCATTERING)
    return Light(
        sun, direct, ambient, zenith, horizon,
        np.array([lost, max(weather[FOG_DISTANCE], 0.0), wet]),
        np.array([FOG_PER_M * fog**1.5, thins, sent_on]),
    )  # fmt: skip


def _scattering(scale: float, clear: float) -> float:
    """Returns a scale of scattering over that of clear air, which is 1 as the wire rounds it."""
    return min(max(round(scale / clear, 3), 0.0), MOST_SCATTERING)


def _smooth(value: float, low: float, high: float) -> float:
    """Returns 0 below `low`, 1 above `high`, and a smooth step between."""
    x = min(max((value - low) / (high - low), 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


def _mix(a: Sequence[float] | Array, b: Sequence[float] | Array, share: float) -> Array:
    return np.asarray(a) * (1.0 - share) + np.asarray(b) * share
