"""What goes over the wire: CARLA 0.9.16's objects as msgpack arrays, and its binary streams.

Angles are degrees and axes left-handed, as CARLA has them. Members stand in the client's order.
"""

import struct
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

VERSION = "0.9.16"
SNAPSHOT_STREAM = 1
NEW_MAP, NEW_LAMPS = 0b11, 0b10
"""Simulation states that let clients fetch the map and the street lamps again, or the lamps."""
SENSOR_TYPE = {
    "collision": 0, "depth": 1, "normals": 2, "dvs": 3, "gnss": 4, "imu": 5, "obstacle": 7,
    "optical_flow": 8, "radar": 9, "semantic_lidar": 10, "lidar": 11, "rgb": 13, "semantic": 14,
    "instance": 15, "cosmos": 16, "snapshot": 17,
}  # fmt: skip

_COMMON: list[tuple[Any, ...]] = [
    ("id", "<u4"), ("state", "u1"), ("location", "<f4", 3), ("rotation", "<f4", 3),
    ("velocity", "<f4", 3), ("angular", "<f4", 3), ("acceleration", "<f4", 3),
]  # fmt: skip
ACTOR_RECORD = np.dtype([*_COMMON, ("rest", "V54")])
VEHICLE_RECORD = np.dtype(
    [
        *_COMMON, ("throttle", "<f4"), ("steer", "<f4"), ("brake", "<f4"), ("hand_brake", "u1"),
        ("reverse", "u1"), ("manual", "u1"), ("gear", "<i4"), ("speed_limit", "<f4"),
        ("light_state", "u1"), ("has_light", "u1"), ("light_id", "<u4"), ("failure", "u1"),
        ("rest", "u1", 24),
    ]
)  # fmt: skip
LIGHT_RECORD = np.dtype(
    [
        *_COMMON, ("sign_id", "S32"), ("green", "<f4"), ("yellow", "<f4"), ("red", "<f4"),
        ("elapsed", "<f4"), ("pole", "<u4"), ("frozen", "u1"), ("colour", "u1"),
    ]
)  # fmt: skip
WALKER_RECORD = np.dtype(
    [*_COMMON, ("direction", "<f4", 3), ("speed", "<f4"), ("jump", "u1"), ("rest", "u1", 37)]
)
RECORD_SIZE = 119
assert {d.itemsize for d in (ACTOR_RECORD, VEHICLE_RECORD, LIGHT_RECORD, WALKER_RECORD)} == {
    RECORD_SIZE
}

_HEADER = struct.Struct("<QQd6f")
_SNAPSHOT = struct.Struct("<QdfiiiI")


def header(
    kind: str, frame: int, time_s: float, transform: tuple[float, ...] = (0.0,) * 6
) -> bytes:
    """Returns the 48 bytes in front of every stream message."""
    return _HEADER.pack(SENSOR_TYPE[kind], frame, time_s, *transform)


def snapshot(
    episode: int, frame: int, time_s: float, platform_s: float, dt_s: float,
    records: list[NDArray[Any]], state: int = 0,
) -> bytes:  # fmt: skip
    """Returns a world snapshot of all actors' records; `state` is 0, `NEW_MAP` or `NEW_LAMPS`."""
    return b"".join(
        [
            header("snapshot", frame, time_s),
            _SNAPSHOT.pack(episode, platform_s, dt_s, 0, 0, 0, state),
            *(record.tobytes() for record in records),
        ]
    )


def framed(payload: bytes) -> bytes:
    """Returns a stream message with its length in front."""
    return struct.pack("<I", len(payload)) + payload


def token(stream_id: int, port: int) -> bytes:
    """Returns the 24 bytes that tell a client where a stream is; it uses the host it dialled."""
    return struct.pack("<IHBB16s", stream_id, port, 1, 0, b"")


def ok(value: Any) -> list[Any]:
    """Returns a successful `Response<T>`."""
    return [[1, value]]


def failed(message: str) -> list[Any]:
    """Returns a failed `Response<T>`."""
    return [[0, [message]]]


OK_VOID: list[Any] = [[False]]


def failed_void(message: str) -> list[Any]:
    """Returns a failed `Response<void>`."""
    return [[True, [message]]]


def transform(x: float, y: float, z: float, yaw_deg: float) -> list[Any]:
    """Returns a Transform on flat ground."""
    return [[x, y, z], [0.0, yaw_deg, 0.0]]


def bounding_box(
    centre: tuple[float, float, float], extent: tuple[float, float, float], actor: int,
    yaw_deg: float = 0.0,
) -> list[Any]:  # fmt: skip
    """Returns a BoundingBox; `extent` has half sizes."""
    return [list(centre), list(extent), [0.0, yaw_deg, 0.0], actor]


def pack(value: Any) -> bytes:
    """Returns a value as msgpack with the old string rules of rpclib."""
    packed: bytes = msgpack.packb(value, use_single_float=False)
    return packed
