"""Films a minute of traffic on the embedded server from behind one of its cars.

Run as `python -m dreamdrive.experiments.traffic_film docs/traffic.webp`.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dreamdrive.driving.actions import PHYSICS_DT_S
from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.frames import FrameQueue, pixels
from dreamdrive.envs.carla.server_kinds import SupervisorConfig
from dreamdrive.envs.carla.session import Session, SessionConfig
from dreamdrive.envs.carla.supervisor import ServerSupervisor
from dreamdrive.seeding import numpy_generator

SIZE = (288, 162)
SECONDS, TICKS_A_FRAME, SPEED_UP = 60.0, 4, 2.0
QUALITY = 45
KINDS = (
    "tesla.model3", "volkswagen.t2", "mini.cooper_s", "mercedes.sprinter", "audi.tt",
    "nissan.patrol", "ford.mustang", "citroen.c3",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Writes the film to the path given; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--town", default="Dream03", help="as for dreamdrive serve")
    parser.add_argument("--vehicles", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        config = SupervisorConfig.with_sensors()
        server = stack.enter_context(ServerSupervisor(options.town, config))
        session = Session(SessionConfig(port=server.ensure_ready()))
        stack.callback(session.close)
        first, *rest = filmed(session, options.vehicles, options.seed)
    duration_ms = round(1000 * TICKS_A_FRAME * PHYSICS_DT_S / SPEED_UP)
    first.save(
        options.out, save_all=True, append_images=rest, duration=duration_ms, loop=0,
        quality=QUALITY, method=6,
    )  # fmt: skip
    return 0


def filmed(session: Session, num_vehicles: int, seed: int) -> Iterator[Image.Image]:
    """Yields the pictures of a minute behind the first of the vehicles."""
    rng = numpy_generator(seed, "traffic film")
    library, points = session.world.get_blueprint_library(), session.map.get_spawn_points()
    manager = session.traffic_manager
    manager.set_random_device_seed(seed)
    cars = list[Any]()
    for index in rng.permutation(len(points))[:num_vehicles]:
        blueprint = library.find(f"vehicle.{KINDS[len(cars) % len(KINDS)]}")
        blueprint.set_attribute("color", ",".join(map(str, rng.integers(30, 230, 3))))
        car = session.world.try_spawn_actor(blueprint, points[index])
        if car is not None:
            cars.append(car)
    session.tick()
    for car in cars:
        car.set_autopilot(True, manager.get_port())
    camera = library.find("sensor.camera.rgb")
    for name, value in zip(("image_size_x", "image_size_y"), SIZE, strict=True):
        camera.set_attribute(name, str(value))
    behind = carla.Transform(carla.Location(x=-7.0, z=3.2), carla.Rotation(pitch=-10.0))
    queue = FrameQueue(session, session.spawn(camera, behind, cars[0]))
    queue.open()
    for _ in range(round(SECONDS / PHYSICS_DT_S / TICKS_A_FRAME)):
        for _ in range(TICKS_A_FRAME):
            frame = session.tick().frame
        yield Image.fromarray(np.ascontiguousarray(pixels(queue.take(frame))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
