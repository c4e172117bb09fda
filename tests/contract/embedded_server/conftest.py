"""An embedded server for CARLA's own client, unmodified, in another process."""

import pytest

from support.server import DT_S, server_process, spawn


@pytest.fixture(scope="module")
def server():
    with server_process("--port", "0", "--sync") as process:
        line = process.stdout.readline()
        assert line.startswith("ready 127.0.0.1:")
        yield int(line.rsplit(":", 1)[1])


@pytest.fixture(scope="module")
def client(server):
    carla = pytest.importorskip("carla")
    made = carla.Client("127.0.0.1", server, 4)
    made.set_timeout(20.0)
    return made


@pytest.fixture
def world(client):
    """A world in synchronous mode from which everything that is spawned disappears again."""
    destroy = pytest.importorskip("carla").command.DestroyActor
    found = client.get_world()
    settings = found.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, DT_S
    found.apply_settings(settings)
    found.reset_all_traffic_lights()
    yield found
    found.tick()
    movable = [a for a in found.get_actors() if not a.type_id.startswith(("traffic.", "spectator"))]
    for sensor in (a for a in movable if a.type_id.startswith("sensor.")):
        if sensor.is_listening():
            sensor.stop()
    client.apply_batch_sync([destroy(a) for a in movable], True)


@pytest.fixture
def car(world):
    """A car that has stood for a tick, on a road with room around it."""
    made = spawn(world, 2)
    world.tick()
    return made
