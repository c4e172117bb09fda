"""Worlds that are recorded and replayed, and what they look like meanwhile."""

import numpy as np

from dreamdrive.envs.embedded.limits import Limits
from dreamdrive.envs.embedded.recorder_calls import RecorderCalls
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town

TOWN = load_town("Dream01")
CAR = "vehicle.lincoln.mkz_2020"


OPENED = []


def close_all():
    """Lets the files go that a test has left open."""
    for sim in OPENED:
        sim.recordings.close()
    OPENED.clear()


def opened(folder, town=TOWN, **limits):
    OPENED.append(Simulator(town, synchronous=True, limits=Limits(**limits), recordings=folder))
    return OPENED[-1]


def made(folder, *, cars=4, town=TOWN, **limits):
    """Returns a synchronous simulator with cars that drive, and walkers that walk."""
    sim = opened(folder, town, **limits)
    rng = np.random.default_rng(0)
    for k in range(cars):
        x, y, z, yaw = town.spawn_points[3 * k]
        car = sim.world.spawn(CAR, {"role_name": "hero" if k == 0 else "npc"}, x, y, z, yaw)
        row = sim.world.vehicles.row[car.id]
        sim.world.vehicles.throttle[row] = rng.uniform(0.2, 0.9)
        sim.world.vehicles.steer[row] = rng.uniform(-0.4, 0.4)
    x, y, z, yaw = town.spawn_points[30]
    walker = sim.world.spawn("walker.pedestrian.0001", {}, x, y, z, yaw)
    row = sim.world.walkers.row[walker.id]
    sim.world.walkers.direction[row], sim.world.walkers.speed[row] = (1.0, 0.3, 0.0), 1.4
    sim.world.fill()
    return sim


def state(sim):
    """Returns what a snapshot says of bodies and lights, by kind, without the actors' numbers."""
    found = []
    for record in sim.world.records()[:3]:
        without = record.copy()
        without["id"] = 0
        found.append(without.tobytes())
    return found


def record(sim, count, name="a.log", meanwhile=lambda k: None):
    """Returns the states at the start of a recording and after each of its ticks."""
    RecorderCalls(sim).start_recorder(name)
    found = [state(sim)]
    for k in range(count):
        meanwhile(k)
        sim.tick()
        found.append(state(sim))
    RecorderCalls(sim).stop_recorder()
    return found


def replay(sim, name="a.log", start=0.0, duration=0.0, follow=0, **options):
    return RecorderCalls(sim).replay_file(name, start, duration, follow, *options.values())
