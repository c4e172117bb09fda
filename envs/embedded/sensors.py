"""What sensors send: collisions, inertial measurements and positions."""

import math
from typing import Any

import numpy as np

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.inertial import biases, draws, measured
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.envs.embedded.world import World

EARTH_RADIUS_M = 6_378_137.0
MERCATOR_SCALE = 0.9996
GNSS_AXES = ("lat", "lon", "alt")


def sensor_transform(world: World, sensor: int) -> tuple[float, ...]:
    """Returns x, y, z, pitch, yaw and roll of a sensor."""
    return tuple(world.pose(sensor))


def collision_messages(world: World, sensor: int, describe: Any) -> list[bytes]:
    """Returns a message for each thing that a collision sensor's vehicle touched in the last tick.

    Args:
        world: The world.
        sensor: The sensor's actor number.
        describe: Returns an actor as the wire has it, by its number.
    """
    parent = world.actors[sensor].parent
    head = wire.header("collision", world.frame, world.time_s, sensor_transform(world, sensor))
    found = []
    for event in world.events:
        if event.actor == parent:
            impulse = [*event.impulse, 0.0]
            found.append(head + wire.pack([describe(parent), describe(event.other), impulse]))
    return found


def imu_message(world: World, sensor: int, gravity_mps2: float) -> bytes:
    """Returns acceleration and turn rate in the sensor's axes, and the compass (0 is north)."""
    place = sensor_transform(world, sensor)
    force, turn, compass = measured(world, sensor, Pose(*place), gravity_mps2)
    head = wire.header("imu", world.frame, world.time_s, place)
    return head + wire.pack([force, turn, compass])


def gnss_message(world: World, sensor: int, reference: tuple[float, float]) -> bytes:
    """Returns latitude and longitude in degrees, and the height, with the attributes' errors."""
    place = sensor_transform(world, sensor)
    head = wire.header("gnss", world.frame, world.time_s, place)
    exact = (*geolocation(place[0], place[1], reference), place[2])
    errors = biases(world, sensor, tuple(f"noise_{axis}_bias" for axis in GNSS_AXES))
    errors += draws(world, sensor, tuple(f"noise_{axis}_stddev" for axis in GNSS_AXES))
    return head + wire.pack((exact + errors).tolist())


def geolocation(x: float, y: float, reference: tuple[float, float]) -> tuple[float, float]:
    """Returns latitude and longitude in degrees of a place.

    As CARLA 0.9.16 has it, client and sensor alike: a transverse Mercator projection of a sphere
    whatever the map asks for, and latitude grows with y, which is to the south.
    """
    east, north = (value / (EARTH_RADIUS_M * MERCATOR_SCALE) for value in (x, y))
    turned = math.radians(reference[0]) + north
    latitude = math.degrees(math.asin(math.sin(turned) / math.cosh(east)))
    longitude = reference[1] + math.degrees(math.atan2(math.sinh(east), math.cos(turned)))
    return latitude, longitude


def georeference(xodr: str) -> tuple[float, float]:
    """Returns the latitude and longitude of a map's origin, in degrees."""
    found = []
    for name in ("+lat_0=", "+lon_0="):
        start = xodr.find(name)
        text = xodr[start + len(name) :].split(maxsplit=1)[0] if start >= 0 else "0"
        try:
            found.append(float(text.rstrip("]>")))
        except ValueError:
            found.append(0.0)
    return found[0], found[1]


def ticks_between(world: World, sensor: int) -> int:
    """Returns how many ticks a sensor's `sensor_tick` asks for from one message to the next."""
    period = float(world.actors[sensor].attributes.get("sensor_tick", "0") or 0.0)
    if period > 0.0 and world.dt_s > 0.0:
        return max(1, int(np.round(period / world.dt_s)))
    return 1


def is_due(world: World, sensor: int) -> bool:
    """Returns whether a sensor's `sensor_tick` lets it send after the last tick."""
    return world.frame % ticks_between(world, sensor) == 0


def messages(
    world: World, sensor: int, reference: tuple[float, float], gravity_mps2: float, describe: Any
) -> list[bytes]:
    """Returns what a sensor sends after the last tick."""
    kind = world.actors[sensor].kind
    if kind == "sensor.other.collision":
        return collision_messages(world, sensor, describe)
    if not is_due(world, sensor):
        return []
    if kind == "sensor.other.imu":
        return [imu_message(world, sensor, gravity_mps2)]
    if kind == "sensor.other.gnss":
        return [gnss_message(world, sensor, reference)]
    return []
