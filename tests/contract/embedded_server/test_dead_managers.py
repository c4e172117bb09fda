"""Traffic Managers whose vehicles or whose process is gone: the tick goes on."""

import subprocess
import sys

import pytest

from support.server import call

pytest.importorskip("carla")

BEGIN = """
import os, socket, sys, time, carla
port = int(sys.argv[1])
client = carla.Client("127.0.0.1", port, 4)
client.set_timeout(20.0)
world = client.get_world()
def spawn(world, index):
    blueprint = world.get_blueprint_library().find("vehicle.lincoln.mkz_2020")
    return world.spawn_actor(blueprint, world.get_map().get_spawn_points()[index])
def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
"""
END = """
print("result", at, frames, flush=True)
os._exit(0)
"""
DESTROYED = (
    BEGIN
    + """
at = free_port()
client.get_trafficmanager(at).set_synchronous_mode(True)
first = world.tick()
for k in range(8):
    car = spawn(world, 3 * k)
    car.set_autopilot(True, at)
    if k % 2:
        world.tick()
    car.destroy()
    frames = world.tick() - first
car = spawn(world, 30)
car.set_autopilot(True, at)
for _ in range(60):
    frames = world.tick() - first
assert car.get_velocity().length() > 1.0
car.destroy()
"""
    + END
)
KILLED = (
    BEGIN
    + """
import subprocess
at = free_port()
host = subprocess.Popen([sys.executable, "-c", '''
import sys, time, carla
client = carla.Client("127.0.0.1", int(sys.argv[1]), 4)
client.set_timeout(20.0)
client.get_world()
client.get_trafficmanager(int(sys.argv[2])).set_synchronous_mode(True)
print("up", flush=True)
time.sleep(1000.0)
''', str(port), str(at)], stdout=subprocess.PIPE)
host.stdout.readline()
remote = client.get_trafficmanager(at)
car = spawn(world, 2)
first = world.tick()
car.set_autopilot(True, at)
for _ in range(10):
    world.tick()
host.kill()
host.wait()
begin = time.monotonic()
for _ in range(30):
    frames = world.tick() - first
assert time.monotonic() - begin < 10.0
car.destroy()
"""
    + END
)


@pytest.mark.parametrize(
    ("program", "frames"), [(DESTROYED, 72), (KILLED, 40)], ids=["vehicles", "process"]
)
def test_the_tick_goes_on_without_what_the_traffic_manager_has_lost(server, program, frames):
    done = subprocess.run(
        [sys.executable, "-c", program, str(server)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    _, at, count = done.stdout.split()[-3:]
    assert int(count) == frames
    assert call(server, "is_traffic_manager_running", int(at))[3] == [[1, False]]
