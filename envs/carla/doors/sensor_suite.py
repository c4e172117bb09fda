"""The sensors that a leaderboard agent declares: checked, mounted, and read tick by tick.

What may be declared and what each sensor is set to are the CARLA leaderboard's rules (2.x).
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.doors.plan import Globe
from dreamdrive.envs.carla.frames import FIRST_WAIT_S, FrameQueue
from dreamdrive.envs.carla.session import Session
from dreamdrive.errors import ConfigError

Spec = Mapping[str, Any]
"""One sensor as an agent declares it: `type`, `id`, and where and how it is mounted."""

MAP, SPEEDOMETER, GNSS = "sensor.opendrive_map", "sensor.speedometer", "sensor.other.gnss"
MOST: dict[str, int] = {
    "sensor.camera.rgb": 8, "sensor.lidar.ray_cast": 2, "sensor.other.radar": 4,
    GNSS: 1, "sensor.other.imu": 1, MAP: 1, SPEEDOMETER: 1,
}  # fmt: skip
"""How many of each type an agent may have."""

POLL_S = 0.001
REACH_M = 3.0
"""How far from the ego's origin a sensor may be mounted."""

POSITION, ROTATION = ("x", "y", "z"), ("roll", "pitch", "yaw")
DECLARED: dict[str, dict[str, str]] = {
    "sensor.camera.rgb": {"width": "image_size_x", "height": "image_size_y", "fov": "fov"},
    "sensor.other.radar": {"horizontal_fov": "horizontal_fov", "vertical_fov": "vertical_fov"},
}
"""What a declaration says beside its place, and the blueprint's name for it."""

FIXED: dict[str, dict[str, str]] = {
    "sensor.lidar.ray_cast": {
        "range": "85", "rotation_frequency": "10", "channels": "64", "upper_fov": "10",
        "lower_fov": "-30", "points_per_second": "600000", "dropoff_general_rate": "0.45",
        "dropoff_intensity_limit": "0.8", "dropoff_zero_intensity": "0.4",
        "atmosphere_attenuation_rate": "0.004",
    },
    "sensor.other.radar": {"points_per_second": "1500", "range": "100"},
    GNSS: {
        **{f"noise_{axis}_stddev": "0.000005" for axis in ("lat", "lon", "alt")},
        **{f"noise_{axis}_bias": "0.0" for axis in ("lat", "lon", "alt")},
    },
    "sensor.other.imu": {
        **{f"noise_accel_stddev_{axis}": "0.001" for axis in "xy"},
        "noise_accel_stddev_z": "0.015",
        **{f"noise_gyro_stddev_{axis}": "0.001" for axis in "xyz"},
    },
}  # fmt: skip
"""What the leaderboard sets, whatever an agent would like."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One sensor of the suite.

    Attributes:
        name: The agent's id of it.
        take: Returns its data of a frame.
    """

    name: str
    take: Callable[[int], Any]


def check_suite(specs: Sequence[Spec], *, may_have_map: bool) -> None:
    """Checks what an agent declares.

    Args:
        specs: What `sensors()` returned.
        may_have_map: Whether the agent's track has the map.

    Raises:
        ConfigError: If the leaderboard would refuse it.
    """
    names: set[str] = set()
    counts: dict[str, int] = {}
    for number, spec in enumerate(specs):
        kind, name = spec.get("type"), spec.get("id")
        where = f"sensor {name or number}"
        if kind not in MOST:
            raise ConfigError(
                f"The leaderboard gives agents no {kind!r}", where=where,
                do=f"Declare one of: {', '.join(MOST)}.",
            )  # fmt: skip
        if not isinstance(name, str) or name in names:
            raise ConfigError(
                f"The id {name!r} of a {kind} is missing or taken", where=where,
                do="Give each sensor a text of its own as 'id'.",
            )  # fmt: skip
        names.add(name)
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] > MOST[kind]:
            raise ConfigError(
                f"There are more than {MOST[kind]} of {kind}", where=where, do="Declare fewer."
            )
        if kind == MAP and not may_have_map:
            raise ConfigError(
                "The map is for the track MAP alone", where=where,
                do="Set self.track = Track.MAP in setup, or leave the map out.",
            )  # fmt: skip
        _check_numbers(spec, kind, where)


def _check_numbers(spec: Spec, kind: str, where: str) -> None:
    if kind in (MAP, SPEEDOMETER):
        return
    turned = () if kind == GNSS else ROTATION
    for field in (*POSITION, *turned, *DECLARED.get(kind, {})):
        value = spec.get(field)
        if not isinstance(value, int | float | np.number) or not math.isfinite(float(value)):
            raise ConfigError(
                f"A {kind} needs a number as {field!r}, not {value!r}", where=where,
                do=f"Add {field!r} to what sensors() returns.",
            )  # fmt: skip
    away_m = math.hypot(*(float(spec[axis]) for axis in POSITION))
    if away_m > REACH_M:
        raise ConfigError(
            f"It is mounted {away_m:.2f} m from the ego's origin", where=where,
            do=f"The leaderboard allows {REACH_M:g} m.",
        )  # fmt: skip


class SensorSuite:
    """An agent's sensors on one ego.

    Args:
        session: Where the ego is; the sensors are its own from then on.
        ego: The vehicle.
        specs: What the agent declares, checked.
    """

    def __init__(self, session: Session, ego: Any, specs: Sequence[Spec]) -> None:
        self._session, self._ego = session, ego
        self._xodr = session.map.to_opendrive() if any(s["type"] == MAP for s in specs) else ""
        self._queues: list[FrameQueue] = []
        self._readings = [Reading(name=spec["id"], take=self._mounted(spec)) for spec in specs]

    def open(self) -> None:
        """Ticks until every sensor sends: one tick of an embedded server, a few of Unreal's.

        What they send for the last of these ticks is there to be read.

        Raises:
            ServerError: If one sends nothing by the tick deadline.
        """
        deadline = time.monotonic() + self._session.config.tick_deadline_s
        silent = self._queues
        while silent:
            if time.monotonic() > deadline:
                raise silent[0].silent()
            self._session.tick()
            until = time.monotonic() + FIRST_WAIT_S
            while silent and time.monotonic() < until:
                time.sleep(POLL_S)
                silent = [queue for queue in silent if queue.is_silent]

    def read(self, frame: int) -> dict[str, tuple[int, Any]]:
        """Returns the agent's `input_data` of a frame: (frame, data) by each sensor's id.

        Raises:
            ServerError: If a sensor's data has not come by the tick deadline.
        """
        return {reading.name: (frame, reading.take(frame)) for reading in self._readings}

    def _mounted(self, spec: Spec) -> Callable[[int], Any]:
        kind = spec["type"]
        if kind == MAP:
            return lambda frame: {"opendrive": self._xodr}
        if kind == SPEEDOMETER:
            return lambda frame: {"speed": forward_speed_mps(self._ego)}
        blueprint = self._session.world.get_blueprint_library().find(kind)
        told = {name: str(spec[field]) for field, name in DECLARED.get(kind, {}).items()}
        for name, value in (told | FIXED.get(kind, {})).items():
            blueprint.set_attribute(name, value)
        rotation = carla.Rotation()
        if kind != GNSS:
            rotation = carla.Rotation(**{axis: float(spec[axis]) for axis in ROTATION})
        place = carla.Transform(
            carla.Location(**{axis: float(spec[axis]) for axis in POSITION}), rotation
        )
        queue = FrameQueue(self._session, self._session.spawn(blueprint, place, self._ego))
        self._queues.append(queue)
        if kind == GNSS:
            globe = Globe(self._session.map)
            return lambda frame: np.array(globe.refixed(queue.take(frame)))
        decode = DECODERS[kind]
        return lambda frame: decode(queue.take(frame))


def forward_speed_mps(ego: Any) -> float:
    """Returns a vehicle's speed along its heading."""
    ahead, velocity = ego.get_transform().get_forward_vector(), ego.get_velocity()
    return float(ahead.x * velocity.x + ahead.y * velocity.y + ahead.z * velocity.z)


def _bgra(image: Any) -> NDArray[np.uint8]:
    """Returns blue, green, red and alpha, shape (H, W, 4)."""
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4).copy()


def _rows(cloud: Any) -> NDArray[np.float32]:
    """Returns a LiDAR's points as x, y, z, intensity, shape (n, 4)."""
    return np.frombuffer(cloud.raw_data, np.float32).reshape(-1, 4).copy()


def _echoes(sweep: Any) -> NDArray[np.float32]:
    """Returns a radar's echoes as depth, altitude, azimuth and velocity, shape (n, 4)."""
    return _rows(sweep)[:, ::-1].copy()


def _inertia(imu: Any) -> NDArray[np.float64]:
    """Returns acceleration (m/s²), turn (rad/s), each by axis, and compass (rad); shape (7,)."""
    felt, turn = imu.accelerometer, imu.gyroscope
    return np.array([felt.x, felt.y, felt.z, turn.x, turn.y, turn.z, imu.compass])


DECODERS: dict[str, Callable[[Any], NDArray[Any]]] = {
    "sensor.camera.rgb": _bgra,
    "sensor.lidar.ray_cast": _rows,
    "sensor.other.radar": _echoes,
    "sensor.other.imu": _inertia,
}
"""A message of CARLA's as the leaderboard hands it to agents, by type of sensor."""
