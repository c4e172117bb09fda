"""Recording and replaying through the client."""

import pytest

from support.server import call, server_process, spawn, ticks

carla = pytest.importorskip("carla")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def server(folder):
    with server_process("--port", "0", "--sync", "--recordings", str(folder)) as process:
        yield int(process.stdout.readline().rsplit(":", 1)[1])


def drive(world, client, count, name="drive.log"):
    """Records two cars, of which one hits the other, and a walker; returns the snapshots."""
    points = world.get_map().get_spawn_points()
    library = world.get_blueprint_library()
    front = spawn(world, 2)
    hero = library.find("vehicle.audi.tt")
    hero.set_attribute("role_name", "hero")
    behind = world.spawn_actor(
        hero,
        carla.Transform(
            points[2].location - 9.0 * points[2].get_forward_vector(), points[2].rotation
        ),
    )
    walker = world.spawn_actor(library.find("walker.pedestrian.0001"), points[40])
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.5))
    behind.apply_control(carla.VehicleControl(throttle=1.0))
    path = client.start_recorder(name)
    shots = []
    for _ in range(count):
        world.tick()
        shots.append(motion(world, (front, behind, walker)))
    front.set_light_state(carla.VehicleLightState(carla.VehicleLightState.LeftBlinker))
    world.tick()
    client.stop_recorder()
    return path, (front, behind, walker), shots


def motion(world, actors):
    shot, found = world.get_snapshot(), []
    for actor in actors:
        seen = shot.find(actor.id)
        for part in (seen.get_transform().location, seen.get_velocity(), seen.get_acceleration()):
            found += [part.x, part.y, part.z]
        found += [seen.get_transform().rotation.yaw, seen.get_angular_velocity().z]
    lights = sorted(world.get_actors().filter("traffic.traffic_light"), key=lambda a: a.id)
    return found + [(int(a.state), a.get_elapsed_time()) for a in lights]


def test_what_was_recorded_is_replayed_exactly(world, client, folder):
    path, actors, shots = drive(world, client, 80)
    assert path == str(folder / "drive.log")
    for actor in actors:
        actor.apply_control(
            carla.WalkerControl() if actor is actors[2] else carla.VehicleControl(brake=1.0)
        )
    assert "Total time recorded: 4.05" in client.replay_file("drive.log", 0.0, 0.0, 0)
    for expected in shots:
        world.tick()
        assert motion(world, actors) == expected
    world.tick()
    assert actors[0].get_light_state() == carla.VehicleLightState.LeftBlinker


def test_a_recording_tells_who_was_there_and_who_collided(world, client):
    _, (front, behind, walker), _ = drive(world, client, 80)
    told = client.show_recorder_file_info("drive.log", False)
    assert "Map: Dream01" in told
    assert f"Create {front.id}: vehicle.lincoln.mkz_2020" in told
    assert f"Collision between {behind.id} (hero) with {front.id}" in told
    assert "Frames: 82" in told
    assert "Positions: 3" in client.show_recorder_file_info("drive.log", True)
    hits = client.show_recorder_collisions("drive.log", "h", "v").splitlines()
    rows = [line for line in hits if f"{front.id} vehicle.lincoln" in line]
    assert rows
    assert all(f"{behind.id} vehicle.audi.tt" in line for line in rows)
    assert f" {walker.id} " not in client.show_recorder_collisions("drive.log", "w", "a")


def test_a_recording_tells_who_was_blocked(world, client):
    stands = spawn(world, 10)
    client.start_recorder("blocked.log")
    ticks(world, 60)
    client.stop_recorder()
    told = client.show_recorder_actors_blocked("blocked.log", 2.0, 100.0)
    assert f"{stands.id} vehicle.lincoln.mkz_2020" in told
    assert "vehicle" not in client.show_recorder_actors_blocked("blocked.log", 9.0, 100.0)


def test_replays_are_set_and_stopped(world, client):
    _, (front, behind, _), shots = drive(world, client, 60)
    client.set_replayer_time_factor(2.0)
    client.set_replayer_ignore_hero(True)
    client.set_replayer_ignore_spectator(False)
    try:
        client.replay_file("drive.log", 1.0, 0.0, front.id)
        at = behind.get_transform().location
        world.tick()
        assert behind.get_transform().location.distance(at) < 3.0
        assert motion(world, (front,))[:8] == shots[21][:8]
        client.stop_replayer(True)
        world.tick()
        assert front.get_velocity().length() == 0.0
        seen = world.get_spectator().get_transform()
        place = front.get_transform().location
        away = seen.location - place
        assert (away.x**2 + away.y**2) ** 0.5 == pytest.approx(10.0, abs=0.5)
        assert seen.rotation.pitch == pytest.approx(-25.0)
    finally:
        client.set_replayer_time_factor(1.0)
        client.set_replayer_ignore_hero(False)
        client.set_replayer_ignore_spectator(True)


def test_files_that_cannot_be_replayed_are_said(world, client, folder):
    (folder / "foreign.log").write_bytes(b"\x01\x00\x0e\x00CARLA_RECORDER and more")
    for name, words in (
        ("foreign.log", "no recording"), ("missing.log", "no recording to read"),
        ("../x.log", "no file in the folder"), ("/etc/passwd", "no file in the folder"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=words):
            client.replay_file(name, 0.0, 0.0, 0)
    with pytest.raises(RuntimeError, match="no file in the folder"):
        client.start_recorder("../../x.log")


def test_types_and_numbers_are_looked_at(server):
    for arguments, words in (
        (("show_recorder_collisions", "a", 120, 118), "type of actors"),
        (("set_replayer_time_factor", -1.0), "time_factor"),
        (("replay_file", "a", 0.0, -1.0, 0, False), "duration"),
    ):
        assert words in str(call(server, *arguments)[3])
