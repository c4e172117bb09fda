"""Drives vehicles of CARLA's Traffic Manager for a while, and prints what became of them as JSON.

A program of its own, since a Traffic Manager that loses a wake-up cannot be stopped:
`python long_traffic.py PORT VEHICLES SECONDS`.
"""

import json
import os
import socket
import sys
import time

import carla

DT_S, WINDOW_S = 0.05, 60


def main(port, num_vehicles, seconds):
    client = carla.Client("127.0.0.1", port, 4)
    client.set_timeout(30.0)
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, DT_S
    world.apply_settings(settings)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        manager_port = free.getsockname()[1]
    manager = client.get_trafficmanager(manager_port)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(1)
    world.reset_all_traffic_lights()
    library = [
        blueprint
        for blueprint in world.get_blueprint_library().filter("vehicle.*")
        if blueprint.get_attribute("base_type").as_str() == "car"
    ]
    points = world.get_map().get_spawn_points()
    places = points[:: max(1, len(points) // num_vehicles)][:num_vehicles]
    answers = client.apply_batch_sync(
        [
            carla.command.SpawnActor(library[i % len(library)], place).then(
                carla.command.SetAutopilot(carla.command.FutureActor, True, manager_port)
            )
            for i, place in enumerate(places)
        ],
        True,
    )
    ids = [answer.actor_id for answer in answers if not answer.has_error()]
    last = {actor.id: actor.get_location() for actor in world.get_actors(ids)}
    moved = dict.fromkeys(ids, 0.0)
    slowest, began, lost, stood = [], time.monotonic(), {}, []
    for frame in range(1, int(seconds / DT_S) + 1):
        world.tick()
        if frame % 20:
            continue
        snapshot = world.get_snapshot()
        for actor in list(last):
            seen = snapshot.find(actor)
            if seen is None:
                lost[actor] = [frame * DT_S, last[actor].x, last[actor].y]
                del last[actor]
                continue
            here = seen.get_transform().location
            moved[actor] += here.distance(last[actor])
            last[actor] = here
        if frame % int(WINDOW_S / DT_S) == 0:
            slowest.append(min((moved[actor] for actor in last), default=0.0))
            stood.append(sum(moved[actor] < 1.0 for actor in last))
            total = sum(moved.values())
            moved = dict.fromkeys(last, 0.0)
            sys.stderr.write(f"{frame * DT_S:.0f} s, {len(last)} vehicles\n")
    wall_s = time.monotonic() - began
    found = {
        "vehicles": len(ids), "lost": lost, "slowest_m": slowest, "stood": stood,
        "last_minute_mps": total / max(len(last), 1) / WINDOW_S,
        "ticks_per_s": seconds / DT_S / wall_s,
    }  # fmt: skip
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:4]))
