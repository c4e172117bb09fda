"""How fast the embedded server is through CARLA's client, and how soon it is there.

It is measured beside the same server that answers without simulating, which is as fast as the
client itself can be, in turns in the same process.
"""

import time
from contextlib import ExitStack
from typing import Any

from dreamdrive.experiments.bench import BenchConfig
from dreamdrive.experiments.bench_rows import Row, per_second, row_of

CIRCLE_MPS = 2.0
START_S, LOAD_S = 1.5, 1.0
"""What a start and loading a town may take."""


def server_rows(config: BenchConfig, cores: int) -> list[Row]:
    """Returns ticks a second of the server, of one that only answers, and their ratio."""
    from dreamdrive.envs.carla.server_kinds import SupervisorConfig
    from dreamdrive.envs.carla.session import Session, SessionConfig
    from dreamdrive.envs.carla.supervisor import ServerSupervisor

    plain = SupervisorConfig()
    answering = SupervisorConfig(command=(*plain.command, "--only-answer"))
    samples: dict[str, list[float]] = {"simulates": [], "answers": []}
    with ExitStack() as stack:
        sessions = {}
        for name, supervisor in (("simulates", plain), ("answers", answering)):
            server = stack.enter_context(ServerSupervisor(config.town, supervisor))
            session = Session(SessionConfig(port=server.ensure_ready()))
            stack.callback(session.close)
            spawn_circling(session, config.num_server_vehicles)
            sessions[name] = session
        for _ in range(config.repeats):
            for name, session in sessions.items():
                samples[name].append(per_second(session.tick, config.seconds))
    ratios = [a / b for a, b in zip(samples["simulates"], samples["answers"], strict=True)]
    what = f"{config.num_server_vehicles} moving vehicles"
    return [
        row_of(f"server, {what}", "ticks/s", cores, samples["simulates"]),
        row_of("server that only answers", "ticks/s", cores, samples["answers"]),
        row_of("ratio of the two", "", cores, ratios, floor=0.7),
    ]


def spawn_circling(session: Any, count: int) -> None:
    """Spawns vehicles that drive in small circles for ever, each in its own place."""
    from dreamdrive.envs.carla.client import carla

    library = session.world.get_blueprint_library()
    blueprint = library.find("vehicle.mini.cooper_s")
    places: list[Any] = []
    for point in session.map.get_spawn_points():
        if all(point.location.distance(other.location) > 9.0 for other in places):
            places.append(point)
    for place in places[:count]:
        car = session.spawn(blueprint, place)
        car.apply_control(carla.VehicleControl(throttle=0.3, steer=1.0))
        car.enable_constant_velocity(carla.Vector3D(CIRCLE_MPS, 0.0, 0.0))


def start_rows(config: BenchConfig, cores: int) -> list[Row]:
    """Returns how long a server takes to its first tick, and then to another town.

    Both are what a client waits for, on a server that was not there before. What is compiled lies
    on disk: one start before makes sure of it.
    """
    from dreamdrive.envs.carla.session import Session, SessionConfig
    from dreamdrive.envs.carla.supervisor import ServerSupervisor
    from dreamdrive.envs.embedded.towns import available_towns

    other = next(town for town in available_towns() if town != config.town)
    started, loaded = [], []
    for _ in range(1 + config.repeats):
        began = time.perf_counter()
        with ServerSupervisor(config.town) as server, ExitStack() as stack:
            session = Session(SessionConfig(port=server.ensure_ready()))
            stack.callback(session.close)
            session.tick()
            ticked = time.perf_counter()
            session.open_town(other)
            started.append(ticked - began)
            loaded.append(time.perf_counter() - ticked)
    return [
        row_of("server, start to first tick", "s", cores, started[1:], floor=START_S,
               is_ceiling=True),
        row_of("server, loading a town", "s", cores, loaded[1:], floor=LOAD_S, is_ceiling=True),
    ]  # fmt: skip
