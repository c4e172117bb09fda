"""Draws one sheet of what the embedded server's sensors show of a street.

Run as `python -m dreamdrive.experiments.camera_sheet docs/cameras.webp`; `--town` takes another
town or a file, `--spawn-point` another street of it.
"""

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.frames import FrameQueue, pixels
from dreamdrive.envs.carla.server_kinds import SupervisorConfig
from dreamdrive.envs.carla.session import Session, SessionConfig
from dreamdrive.envs.carla.supervisor import ServerSupervisor

TOWN, SPAWN_POINT, NUM_TICKS = "Dream03", 40, 40
SPEED_MPS = 8.0
"""Of the car where motion is shown."""
AHEAD_M = (9.0, 17.0, 26.0, 34.0)
WIDTH, HEIGHT, GAP, LABEL = 320, 180, 6, 18
COLUMNS, QUALITY = 3, 80
LIDAR_REACH_M = 40.0
INK, PAPER = (235, 235, 235), (12, 12, 14)
CAMERAS = (
    ("depth", "depth (logarithmic)", "LogarithmicDepth"),
    ("semantic_segmentation", "semantic segmentation", "CityScapesPalette"),
    ("instance_segmentation", "instances (coloured by number)", ""),
    ("normals", "normals", ""),
)
CLOUDINESS, RAIN, FOG, WIND = "cloudiness", "precipitation", "fog_density", "wind_intensity"
SUN, AZIMUTH = "sun_altitude_angle", "sun_azimuth_angle"
WEATHERS: tuple[tuple[str, dict[str, float]], ...] = (
    ("clear noon", {SUN: 50.0, AZIMUTH: 60.0, CLOUDINESS: 5.0}),
    ("dusk", {SUN: 4.0, CLOUDINESS: 10.0}),
    (
        "fog and rain",
        {SUN: 35.0, CLOUDINESS: 90.0, FOG: 45.0, RAIN: 70.0, "wetness": 80.0, WIND: 50},
    ),
    ("night", {SUN: -20.0, CLOUDINESS: 20.0}),
)
Picture = NDArray[np.uint8]


def main(arguments: Sequence[str]) -> int:
    """Writes the sheet to the path given; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--town", default=TOWN, help="as for dreamdrive serve")
    parser.add_argument("--spawn-point", type=int, default=SPAWN_POINT)
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        config = SupervisorConfig.with_sensors()
        server = stack.enter_context(ServerSupervisor(options.town, config))
        session = Session(SessionConfig(port=server.ensure_ready()))
        stack.callback(session.close)
        shown = photographed(session, options.spawn_point)
    sheet_of(shown).save(options.out, quality=QUALITY)
    return 0


def photographed(session: Session, spawn_point: int = SPAWN_POINT) -> list[tuple[str, Picture]]:
    """Returns names and pictures of one street, each of shape (HEIGHT, WIDTH, 3)."""
    library, world = session.world.get_blueprint_library(), session.world
    start = session.map.get_spawn_points()[spawn_point]
    car = session.spawn(library.find("vehicle.lincoln.mkz_2020"), start)
    _fill_street(session, start)
    place = carla.Transform(carla.Location(x=1.5, z=2.4))
    rgb = _camera(session, "rgb", place, car)
    found: list[tuple[str, Picture]] = []
    for name, values in WEATHERS:
        world.set_weather(_weather(values))
        found.append((f"rgb, {name}", pixels(rgb.take(_last_frame(session)))))
    others = [(label, how, _camera(session, kind, place, car)) for kind, label, how in CAMERAS]
    lidar = _lidar(session, car)
    frame = session.tick().frame
    for label, how, camera in others:
        image = camera.take(frame)
        if how:
            image.convert(getattr(carla.ColorConverter, how))
        picture = pixels(image)
        found.append((label, _coloured(picture) if label.startswith("instances") else picture))
    found.append(("LiDAR from above, by height", _from_above(lidar.take(frame))))
    kinds = ("cosmos_visualization", "optical_flow", "dvs")
    lines, flow, events = (_camera(session, kind, place, car) for kind in kinds)
    stands = car.get_transform()
    for name, values in WEATHERS:
        car.set_transform(stands)
        world.set_weather(_weather(values))
        session.tick()
        car.set_target_velocity(SPEED_MPS * stands.get_forward_vector())
        session.tick()
        frame = session.tick().frame
        colours = [(pixel.r, pixel.g, pixel.b) for pixel in events.take(frame).to_image()]
        seen = np.array(colours, np.uint8).reshape(HEIGHT, WIDTH, 3)
        found.append((f"events at 8 m/s, {name}", seen))
    found.append(("optical flow at 8 m/s", pixels(flow.take(frame).get_color_coded_flow())))
    found.append(("cosmos visualization", pixels(lines.take(frame))))
    return found


def _weather(values: Mapping[str, float]) -> Any:
    weather = carla.WeatherParameters()
    for key, value in values.items():
        setattr(weather, key, value)
    return weather


def _fill_street(session: Session, start: Any) -> None:
    """Sets vehicles on the lanes ahead and beside, and walkers on the edge of the road."""
    library = session.world.get_blueprint_library()
    kinds = ("tesla.model3", "volkswagen.t2", "mini.cooper_s", "mercedes.sprinter")
    colours = ("180,30,30", "225,225,220", "40,90,170", "230,180,40")
    waypoint = session.map.get_waypoint(start.location)
    for i, distance_m in enumerate(AHEAD_M):
        ahead = waypoint.next(distance_m)[0]
        beside = ahead.get_left_lane()
        lane = beside if i % 2 and beside is not None else ahead
        blueprint = library.find(f"vehicle.{kinds[i]}")
        blueprint.set_attribute("color", colours[i])
        where = lane.transform
        where.location.z += 0.3
        session.spawn(blueprint, where)
        walker = library.find(f"walker.pedestrian.{i + 1:04d}")
        right = ahead.transform.get_right_vector()
        side = carla.Location(ahead.transform.location)
        side += carla.Location(x=3.2 * right.x, y=3.2 * right.y, z=1.0)
        session.spawn(walker, carla.Transform(side, ahead.transform.rotation))


def _camera(session: Session, kind: str, place: Any, car: Any) -> FrameQueue:
    blueprint = session.world.get_blueprint_library().find(f"sensor.camera.{kind}")
    blueprint.set_attribute("image_size_x", str(WIDTH))
    blueprint.set_attribute("image_size_y", str(HEIGHT))
    camera = FrameQueue(session, session.spawn(blueprint, place, car))
    camera.open()
    return camera


def _lidar(session: Session, car: Any) -> FrameQueue:
    blueprint = session.world.get_blueprint_library().find("sensor.lidar.ray_cast")
    for name, value in (
        ("channels", 48), ("range", 80), ("points_per_second", 1_200_000),
        ("rotation_frequency", 20), ("dropoff_general_rate", 0),
    ):  # fmt: skip
        blueprint.set_attribute(name, str(value))
    place = carla.Transform(carla.Location(z=2.4))
    lidar = FrameQueue(session, session.spawn(blueprint, place, car))
    lidar.open()
    return lidar


def _last_frame(session: Session) -> int:
    """Lets everything come to rest and returns the newest frame."""
    for _ in range(NUM_TICKS - 1):
        session.tick()
    return int(session.tick().frame)


def _coloured(numbers: Picture) -> Picture:
    """Returns a colour for each object; its number stands in green and blue."""
    wide = numbers.astype(np.uint32)
    mixed = (wide[..., 1] + 256 * wide[..., 2]) * np.uint32(2654435761)
    colours = np.stack([mixed >> 24, mixed >> 16, mixed >> 8], -1) & 0xFF
    colours[mixed == 0] = 30
    return colours.astype(np.uint8)


def _from_above(cloud: Any) -> Picture:
    """Returns the points of a LiDAR from above, ahead to the right, bright where they are high."""
    x, y, z, _ = np.frombuffer(cloud.raw_data, np.float32).reshape(-1, 4).T
    scale = WIDTH / (2.0 * LIDAR_REACH_M)
    column = (WIDTH / 2 + scale * x).astype(int)
    row = (HEIGHT / 2 + scale * y).astype(int)
    is_shown = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for i in np.nonzero(is_shown)[0][np.argsort(z[is_shown])]:
        high = min(max((z[i] + 2.4) / 4.0, 0.0), 1.0)
        picture[row[i], column[i]] = (60 + 195 * high, 110 + 90 * high, 200 - 150 * high)
    return picture


def sheet_of(shown: list[tuple[str, Picture]]) -> Image.Image:
    """Returns all pictures on one sheet, each above its name."""
    rows = -(-len(shown) // COLUMNS)
    size = (GAP + COLUMNS * (WIDTH + GAP), GAP + rows * (HEIGHT + LABEL + GAP))
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for i, (name, picture) in enumerate(shown):
        left = GAP + i % COLUMNS * (WIDTH + GAP)
        top = GAP + i // COLUMNS * (HEIGHT + LABEL + GAP)
        sheet.paste(Image.fromarray(picture), (left, top))
        pen.text((left + 2, top + HEIGHT + 1), name, INK, font)
    return sheet


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
