"""What sensors send: collisions, inertial measurements and positions."""

import math
from typing import Any

import numpy as np

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.world import World

EARTH_RADIUS_M = 6_378_137.0
MERCATOR_SCALE = 0.9996
GRAVITY_MPS2 = 9.81


def sensor_transform(world: World, sensor: int) -> tuple[float, ...]:
    """Returns x, y, z, pitch, yaw and roll of a sensor."""
    x, y, z, yaw = world.place(sensor)
    pitch, roll = world.actors[sensor].tilt
    return (x, y, z, pitch, yaw, roll)


def collision_messages(world: World, sensor: int, describe: Any) -> list[bytes]:
    """Returns a message for each thing that a collision sensor's vehicle touched in the last tick.

    Args:
        world: The world.
        sensor: The sensor's actor number.
        describe: Returns an actor as the wire has it, by its number; 0 is a building.
    """
    parent = world.actors[sensor].parent
    head = wire.header("collision", world.frame, world.time_s, sensor_transform(world, sensor))
    found = []
    for event in world.events:
        if event.actor == parent:
            impulse = [*event.impulse, 0.0]
            found.append(head + wire.pack([describe(parent), describe(event.other), impulse]))
    return found


def imu_message(world: World, sensor: int) -> bytes:
    """Returns acceleration and turn rate in the parent's axes, and the compass (0 is north)."""
    head = wire.header("imu", world.frame, world.time_s, sensor_transform(world, sensor))
    parent = world.actors[sensor].parent
    body = world.body(parent)
    if body is None:
        return head + wire.pack([[0.0, 0.0, GRAVITY_MPS2], [0.0, 0.0, 0.0], 0.0])
    row = body.row[parent]
    yaw = float(body.pose[row, 2])
    ax, ay = (float(v) for v in body.acceleration[row])
    forward = ax * math.cos(yaw) + ay * math.sin(yaw)
    right = ay * math.cos(yaw) - ax * math.sin(yaw)
    compass = (yaw + math.pi / 2.0) % (2.0 * math.pi)
    gyro = [0.0, 0.0, float(body.yaw_rate[row])]
    return head + wire.pack([[forward, right, GRAVITY_MPS2], gyro, compass])


def gnss_message(world: World, sensor: int, reference: tuple[float, float]) -> bytes:
    """Returns latitude and longitude in degrees, and the height."""
    place = sensor_transform(world, sensor)
    head = wire.header("gnss", world.frame, world.time_s, place)
    latitude, longitude = geolocation(place[0], place[1], reference)
    return head + wire.pack([latitude, longitude, place[2]])


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
    world: World, sensor: int, reference: tuple[float, float], describe: Any
) -> list[bytes]:
    """Returns what a sensor sends after the last tick."""
    kind = world.actors[sensor].kind
    if kind == "sensor.other.collision":
        return collision_messages(world, sensor, describe)
    if not is_due(world, sensor):
        return []
    if kind == "sensor.other.imu":
        return [imu_message(world, sensor)]
    if kind == "sensor.other.gnss":
        return [gnss_message(world, sensor, reference)]
    return []
