"""The event camera: where and when the brightness of a pixel changed by a threshold.

Brightness is taken to change evenly between two frames.

Reference:
    Rebecq et al. 2018, "ESIM: an open event camera simulator".
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import float64, from_dtype, int64
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.render.cameras import IMAGE_HEADER, SAMPLES, lens_of
from dreamdrive.envs.embedded.render.look import Look, Payload
from dreamdrive.envs.embedded.render.settings import AGE
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.seeding import numpy_generator

EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("is_brighter", "u1")])
GREY = (0.114, 0.587, 0.299)
"""Weights of blue, green and red in brightness."""
LEAST_THRESHOLD = 1e-3


class EventCamera:
    """A camera that sends events, in the order of their times in nanoseconds.

    The first frame that somebody listens to has none, and changes are counted from there.

    Args:
        kind: Name of its blueprint.
        settings: Its attributes as numbers.
    """

    def __init__(self, kind: str, settings: Mapping[str, float]) -> None:
        self._settings, self._lens = settings, lens_of(settings)
        self._count = int(settings.get(AGE, 0))
        self._state: Changes | None = None

    def sense(self, look: Look, sensor: int, pose: Pose, interval_s: float) -> list[Payload]:
        """Returns what it sends of a frame."""
        grey = look.coloured(pose, self._lens, SAMPLES)[:, :, :3] @ np.array(GREY) / 255.0
        known = self._settings
        if known["use_log"]:
            grey = np.log(known["log_eps"] + grey)
        time_ns = round(look.world.time_s * 1e9)
        events = np.zeros(0, EVENT)
        if self._state is None:
            self._state = Changes(grey, time_ns)
        else:
            random = numpy_generator(int(known["noise_seed"]), "dvs", self._count)
            thresholds = np.stack([self._threshold(f"{sign}_threshold", random) for sign in
                                   ("negative", "positive")])  # fmt: skip
            events = self._state.events(
                grey, time_ns, thresholds, int(known["refractory_period_ns"])
            )
        self._count += 1
        return [Payload("dvs", IMAGE_HEADER.pack(*self._lens) + events.tobytes())]

    def _threshold(self, name: str, random: np.random.Generator) -> NDArray[np.float64]:
        """Returns the threshold of each pixel, shape (H, W)."""
        shape = (self._lens.height, self._lens.width)
        found = np.full(shape, self._settings[name])
        if self._settings[f"sigma_{name}"] > 0.0:
            found += random.normal(0.0, self._settings[f"sigma_{name}"], shape)
        return np.maximum(found, LEAST_THRESHOLD)


class Changes:
    """What an event camera remembers of each pixel.

    Args:
        grey: The first brightness, shape (H, W).
        time_ns: When it was.
    """

    def __init__(self, grey: NDArray[np.float64], time_ns: int) -> None:
        self._last, self._reference = grey, grey.copy()
        self._last_ns = time_ns
        self._silent_until = np.zeros(grey.shape, np.int64)

    def events(
        self, grey: NDArray[np.float64], time_ns: int, thresholds: NDArray[np.float64],
        refractory_ns: int,
    ) -> NDArray[Any]:  # fmt: skip
        """Returns the events since the last brightness, rows of `EVENT` in the order of time.

        Args:
            grey: Brightness now, shape (H, W).
            time_ns: When that is.
            thresholds: Changes that make an event, darker and brighter, shape (2, H, W).
            refractory_ns: How long a pixel is silent after an event.
        """
        most = np.abs(grey - self._reference) / thresholds.min(0)
        found = np.zeros(int(np.floor(most + 1e-9).sum()) + 1, EVENT)
        count = _events(
            self._last, grey, self._reference, thresholds, self._last_ns, time_ns,
            self._silent_until, refractory_ns, found,
        )  # fmt: skip
        self._last, self._last_ns = grey, time_ns
        found = found[:count]
        return found[np.argsort(found["t"], kind="stable")]


@compiled(
    int64(
        float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, :, ::1], int64, int64,
        int64[:, ::1], int64, from_dtype(EVENT)[::1],
    )
)  # fmt: skip
def _events(
    last: Any, grey: Any, reference: Any, thresholds: Any, last_ns: int, time_ns: int,
    silent_until: Any, refractory_ns: int, found: Any,
) -> int:  # fmt: skip
    """Writes the events of each pixel and moves its reference on; returns how many there are."""
    count = 0
    for y in range(grey.shape[0]):
        for x in range(grey.shape[1]):
            change = grey[y, x] - last[y, x]
            if change == 0.0:
                continue
            is_brighter = 1 if change > 0.0 else 0
            step = thresholds[is_brighter, y, x]
            sign = 1.0 if is_brighter else -1.0
            while sign * (grey[y, x] - reference[y, x]) >= step and count < len(found):
                reference[y, x] += sign * step
                share = (reference[y, x] - last[y, x]) / change
                t = last_ns + int(share * (time_ns - last_ns))
                if t >= silent_until[y, x]:
                    event = found[count]
                    event.x, event.y, event.t, event.is_brighter = x, y, t, is_brighter
                    silent_until[y, x] = t + refractory_ns
                    count += 1
    return count
