"""How fast the embedded server's world is in process: crowds, growth, cameras and LiDARs.

A tick is what the server does for one, sockets left out: the world moves, its snapshot is packed.
"""

import math
from collections.abc import Iterable
from typing import Any

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.bench import BenchConfig
from dreamdrive.experiments.bench_rows import Row, per_second, row_of
from dreamdrive.seeding import numpy_generator

CAR, WALKER = "vehicle.mini.cooper_s", "walker.pedestrian.0001"
CIRCLE_MPS, WALK_MPS = 2.0, 1.0
APART_M = 10.0
PLACES_A_SIDE = 44
CROWD_TICKS = 500.0
GROWTH_RATIO = 1.0
"""The most that a vehicle may cost among many, over what it costs among few."""

SMALL = {"image_size_x": "256", "image_size_y": "144"}
SWEEP_POINTS, SWEEPS_A_SECOND = 100_000, 20
LARGE = {"image_size_x": "800", "image_size_y": "600"}
NIGHT = " by night"
"""Ends the names of cameras that look when lamps shine."""
SENSORS: tuple[tuple[str, str, dict[str, str], float | None], ...] = (
    ("RGB 256x144", "sensor.camera.rgb", SMALL, 150.0),
    ("RGB 800x600", "sensor.camera.rgb", LARGE, 20.0),
    (f"RGB 256x144{NIGHT}", "sensor.camera.rgb", SMALL, None),
    (f"RGB 800x600{NIGHT}", "sensor.camera.rgb", LARGE, None),
    ("semantics 256x144", "sensor.camera.semantic_segmentation", SMALL, 250.0),
    ("depth 256x144", "sensor.camera.depth", SMALL, 250.0),
    (
        "LiDAR, 64 channels, 100,000 points", "sensor.lidar.ray_cast",
        {
            "channels": "64", "range": "100", "rotation_frequency": str(SWEEPS_A_SECOND),
            "points_per_second": str(SWEEP_POINTS * SWEEPS_A_SECOND),
        },
        20.0,
    ),
)  # fmt: skip
"""What is called how, its blueprint, its attributes, and frames a second that it must reach."""

EYE = (0.5, 0.0, 2.4)
"""Where on a vehicle sensors stand, metres."""


def crowd_row(config: BenchConfig, cores: int) -> Row:
    """Returns ticks a second of a world full of vehicles and walkers."""
    sim = _peopled(config.town, *config.crowd)
    samples = [per_second(sim.tick, config.seconds) for _ in range(config.repeats)]
    name = f"world of the server, {config.crowd[0]} vehicles and {config.crowd[1]} walkers"
    return row_of(name, "ticks/s", cores, samples, floor=CROWD_TICKS)


def growth_rows(config: BenchConfig, cores: int) -> list[Row]:
    """Returns what one vehicle costs a tick among few and many, and the last over the first."""
    costs: dict[int, list[float]] = {count: [] for count in config.growth}
    worlds = {count: _peopled(config.town, count, 0) for count in config.growth}
    for _ in range(config.repeats):
        for count, sim in worlds.items():
            costs[count].append(1e6 / per_second(sim.tick, config.seconds) / count)
    first, last = config.growth[0], config.growth[-1]
    ratios = [b / a for a, b in zip(costs[first], costs[last], strict=True)]
    rows = [
        row_of(f"tick, each of {count:,} vehicles", "µs", cores, samples)
        for count, samples in costs.items()
    ]
    name = f"cost of each, {last:,} vehicles over {first:,}"
    return [*rows, row_of(name, "", cores, ratios, floor=GROWTH_RATIO, is_ceiling=True)]


def sensor_rows(config: BenchConfig, cores: int) -> list[Row]:
    """Returns frames a second of sensors on a moving vehicle, ticks among traffic included."""
    from dreamdrive.envs.embedded.simulator import SUN_ALTITUDE

    rows = []
    for name, kind, attributes, floor in SENSORS:
        sim = _peopled(config.town, config.num_server_vehicles, 0)
        parent = int(sim.world.vehicles.id[0])
        sim.open_eyes(kind, attributes)
        sensor = sim.world.spawn(kind, attributes, *EYE, 0.0, parent).id
        if name.endswith(NIGHT):
            sim.weather = [*sim.weather[:SUN_ALTITUDE], -30.0, *sim.weather[SUN_ALTITUDE + 1 :]]
            sim.let_lamps_follow_sun()

        def frame(sim: Any = sim, sensor: int = sensor) -> None:
            sim.tick()
            sim.sensed(sensor)

        samples = [per_second(frame, config.seconds) for _ in range(config.repeats)]
        rows.append(row_of(name, "frames/s", cores, samples, floor=floor))
    return rows


def _peopled(town_name: str, num_vehicles: int, num_walkers: int) -> Any:
    """Returns a simulator of a town whose vehicles circle and whose walkers walk.

    Raises:
        ConfigError: If the town has no room for them.
    """
    from dreamdrive.envs.embedded.simulator import Simulator
    from dreamdrive.envs.embedded.towns import load_town
    from dreamdrive.envs.embedded.world import SpawnError

    town = load_town(town_name)
    sim = Simulator(town, synchronous=True)

    def pack() -> None:
        sim.snapshot()

    sim.on_tick = pack
    places = _places(town)
    random = numpy_generator(0, "headings")
    for i in range(num_vehicles + num_walkers):
        kind = CAR if i < num_vehicles else WALKER
        yaw_deg = float(random.uniform(0.0, 360.0))
        for x, y in places:
            try:
                actor = sim.world.spawn(kind, {}, x, y, 0.3, yaw_deg).id
                break
            except SpawnError:
                continue
        else:
            raise ConfigError(
                f"{town_name} has no room for {num_vehicles} vehicles and {num_walkers} walkers",
                do="Ask for fewer.",
            )
        cars, walkers = sim.world.vehicles, sim.world.walkers
        if kind == CAR:
            row = cars.row[actor]
            cars.throttle[row], cars.steer[row] = 0.3, 1.0
            cars.constant[row] = CIRCLE_MPS, 0.0, 1.0
        else:
            row, yaw = walkers.row[actor], math.radians(yaw_deg)
            walkers.direction[row] = math.cos(yaw), math.sin(yaw), 0.0
            walkers.speed[row] = WALK_MPS
    return sim


def _places(town: Any) -> Iterable[tuple[float, float]]:
    """Returns places in and around a town, each far from the others, in random order.

    Few are therefore spread as many are, on and off the roads.
    """
    import numpy as np

    middle = np.array(town.grid.origin) + np.array(town.grid.nearest.shape) / 2.0
    steps = APART_M * (np.arange(PLACES_A_SIDE) - PLACES_A_SIDE / 2.0)
    places = np.stack(np.meshgrid(*(middle[:, None] + steps)), -1).reshape(-1, 2)
    numpy_generator(0, "places").shuffle(places)
    return iter([(float(x), float(y)) for x, y in places])
