"""How much of its grip a tyre keeps on a wet road, by the weather's parameters and its speed.

Water lies as deep as the rain and the wetness make it, and in puddles as deep as puddles are, which
cover the share of the road that `precipitation_deposits` says. Of a dry road's grip at the same
speed a tyre keeps, at a depth h of water,

    s(h, v) = μ(h, v) / μ(0, v),   s = (1 - p) s(film, v) + p s(2 mm, v)

with p the share of puddles and μ of new tyres, in straight lines between the table's entries.

Reference:
    Bosch, "Automotive Handbook", coefficients of static friction for pneumatic tires on concrete
    and tarmacadam, by speed and depth of water.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.dynamics import WET_SPEEDS_KMH

PRECIPITATION, DEPOSITS, WETNESS = 1, 2, 9
"""Places in the list of weather parameters, each in percent."""
DEPTHS_MM = (0.0, 0.2, 1.0, 2.0)
"""Of a dry road, a wet one, one in heavy rain, and puddles."""
FRICTION = ((0.85, 0.65, 0.55, 0.5), (0.8, 0.6, 0.3, 0.05), (0.75, 0.55, 0.2, 0.0))
"""Coefficient of friction of new tyres at each of `WET_SPEEDS_KMH` and each depth."""

DRY = np.ones(len(WET_SPEEDS_KMH))


def kept_grip(weather: Sequence[float]) -> NDArray[np.float64]:
    """Returns the share of a dry road's grip at each of `WET_SPEEDS_KMH`, shape (3,)."""
    wetness, rain, puddles = (
        min(max(weather[i] / 100.0, 0.0), 1.0) for i in (WETNESS, PRECIPITATION, DEPOSITS)
    )
    film_mm = max(DEPTHS_MM[1] * wetness, DEPTHS_MM[2] * rain)
    kept = np.empty(len(WET_SPEEDS_KMH))
    for i, friction in enumerate(FRICTION):
        film = float(np.interp(film_mm, DEPTHS_MM, friction))
        kept[i] = ((1.0 - puddles) * film + puddles * friction[-1]) / friction[0]
    return kept
