"""Worlds of the embedded server: towns, settings, time, weather, maps."""

import socket
import struct
import subprocess
import sys

import msgpack
import pytest

from dreamdrive.envs.carla.ports import any_free_port
from dreamdrive.envs.embedded.styles import STYLED
from dreamdrive.envs.embedded.towns import load_town
from support.server import DT_S, ask, call, spawn

carla = pytest.importorskip("carla")


def test_versions_match(client):
    assert client.get_server_version() == client.get_client_version() == "0.9.16"


def test_maps_are_the_towns(client, world):
    names = sorted(name.rsplit("/", 1)[-1] for name in client.get_available_maps())
    assert names == sorted([*(f"Dream0{i}" for i in range(1, 9)), *STYLED])
    assert world.get_map().name == "Carla/Maps/Dream01"
    assert len(world.get_map().get_spawn_points()) == len(load_town("Dream01").spawn_points)


def test_settings_are_kept_and_nonsense_is_refused(server, world):
    settings = world.get_settings()
    assert settings.synchronous_mode
    assert settings.fixed_delta_seconds == pytest.approx(DT_S)
    raw = call(server, "get_episode_settings")[3][0][1]
    raw[2] = [True, 0.0]
    refused = call(server, "set_episode_settings", raw)[3]
    assert refused[0][0] == 0
    assert "fixed_delta_seconds" in refused[0][1][0]


def test_a_synchronous_world_stands_still_between_ticks(world):
    first = world.get_snapshot()
    assert world.get_snapshot().frame == first.frame
    assert world.tick() == first.frame + 1
    second = world.get_snapshot()
    assert second.frame == first.frame + 1
    elapsed = second.timestamp.elapsed_seconds - first.timestamp.elapsed_seconds
    assert elapsed == pytest.approx(DT_S)
    assert second.timestamp.delta_seconds == pytest.approx(DT_S)


def test_an_asynchronous_world_goes_on_by_itself(world):
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)
    first = world.wait_for_tick(10.0).frame
    frames = [world.wait_for_tick(10.0).frame for _ in range(3)]
    assert first < frames[0] < frames[1] < frames[2]


def test_weather_is_kept(world):
    weather = world.get_weather()
    weather.cloudiness, weather.fog_density = 42.0, 7.0
    world.set_weather(weather)
    assert world.get_weather().cloudiness == pytest.approx(42.0)
    assert world.get_weather().fog_density == pytest.approx(7.0)


def test_a_town_can_be_loaded_and_left(client, world):
    episode = world.id
    other = client.load_world("Dream03", False)
    assert other.id != episode
    assert other.get_map().name.endswith("Dream03")
    assert other.get_settings().synchronous_mode
    assert client.load_world("Dream01", False).get_map().name.endswith("Dream01")


def read_snapshot(stream):
    """Returns episode, frame and simulation state of the next snapshot of a stream."""
    size = struct.unpack("<I", stream.recv(4, socket.MSG_WAITALL))[0]
    data = stream.recv(size, socket.MSG_WAITALL)
    return *struct.unpack_from("<Q", data, 48), *struct.unpack_from("<Q", data, 8), data[80]


def test_a_new_episode_waits_until_the_client_that_asked_has_left_its_old_stream(server, world):
    with (
        socket.create_connection(("127.0.0.1", server), timeout=10.0) as peer,
        socket.create_connection(("127.0.0.1", server + 1), timeout=10.0) as stream,
    ):
        stream.sendall(struct.pack("<I", 1))
        episode, frame, state = read_snapshot(stream)
        assert state == 0
        ask(peer, "load_new_episode", "Dream02", False, 0)
        assert ask(peer, "get_episode_info")[3][0][1][0] == episode
        assert "Dream02" in ask(peer, "get_required_files", "Nav", True)[3][0][1][0]
        assert "Dream01" in call(server, "get_required_files", "Nav", True)[3][0][1][0]
        assert call(server, "tick_cue")[3][0][1] == frame + 1  # Somebody else's.
        assert read_snapshot(stream) == (episode, frame + 1, 0)
        ask(peer, "tick_cue")
        assert read_snapshot(stream) == (episode + 1, frame + 3, 3)
        ask(peer, "tick_cue")
        assert read_snapshot(stream) == (episode + 1, frame + 4, 0)
        ask(peer, "load_new_episode", "Dream01", False, 0)
        ask(peer, "query_lights_state", "127.0.0.1:1")
        call(server, "tick_cue")
        assert read_snapshot(stream)[0] == episode + 2


@pytest.mark.parametrize("has_manager", [True, False])
def test_a_clients_threads_end_their_step_before_a_load_is_answered(server, has_manager):
    with socket.create_connection(("127.0.0.1", server), timeout=10.0) as peer:
        if has_manager:
            ask(peer, "add_traffic_manager_running", ["127.0.0.1", 1])
        calls = [("load_new_episode", ["Dream01", False, 0]), ("get_vehicle_light_states", [])]
        for number, (name, arguments) in enumerate(calls):
            peer.sendall(msgpack.packb([0, number, name, [[False], *arguments]]))
        answers, order = msgpack.Unpacker(), []
        while len(order) < 2:
            answers.feed(peer.recv(4096))
            order += [number for _, number, _, _ in answers]
    assert order == [1, 0]


LOADS = """
import sys
import carla
client = carla.Client("127.0.0.1", int(sys.argv[1]), 2)
client.set_timeout(20.0)
manager = client.get_trafficmanager(int(sys.argv[2]))
manager.set_synchronous_mode(True)
for town in ("Dream03", "Dream01"):
    world = client.load_world(town, False)
    world.tick()
    assert world.get_map().name.endswith(town)
print("loaded")
"""


def test_towns_can_be_loaded_beside_a_synchronous_traffic_manager(server, world):
    done = subprocess.run(
        [sys.executable, "-c", LOADS, str(server), str(any_free_port())],
        capture_output=True, text=True, timeout=100.0,
    )  # fmt: skip
    assert done.stdout == "loaded\n", (done.returncode, done.stderr)


def driven(world, **wanted):
    """Returns how far a car gets in 1 s of full throttle, in a bend, under some settings."""
    settings, most = world.get_settings(), wanted.pop("max_substeps", 10)
    settings.max_substeps = most
    for name, value in wanted.items():
        setattr(settings, name, value)
    world.apply_settings(settings)
    car = spawn(world, 2)
    car.apply_control(carla.VehicleControl(throttle=1.0, steer=0.3))
    for _ in range(round(1.0 / settings.fixed_delta_seconds)):
        world.tick()
    place = car.get_location()
    car.destroy()
    world.tick()
    return place


def test_motion_is_cut_into_the_steps_that_a_client_asks_for(world):
    before = world.get_settings()
    plain = driven(world, fixed_delta_seconds=0.05)
    fine = driven(world, max_substep_delta_time=0.005)
    bounded = driven(world, max_substeps=5)
    off = driven(world, substepping=False)
    ticked = driven(world, fixed_delta_seconds=0.005)
    coarser = driven(world, fixed_delta_seconds=0.01)
    world.apply_settings(before)
    assert fine == ticked
    assert bounded == coarser
    assert off == plain
    assert 0.0 < bounded.distance(fine) < plain.distance(fine) < 1e-3


def test_a_tick_may_be_long_but_not_endless(server, world):
    settings = world.get_settings()
    settings.fixed_delta_seconds = 3.0
    world.apply_settings(settings)
    before = world.get_snapshot().timestamp.elapsed_seconds
    world.tick()
    assert world.get_snapshot().timestamp.elapsed_seconds == pytest.approx(before + 3.0)
    raw = call(server, "get_episode_settings")[3][0][1]
    raw[2] = [True, 1e6]
    assert "(0, 10]" in call(server, "set_episode_settings", raw)[3][0][1][0]


def test_an_unknown_town_is_an_error_and_changes_nothing(server, client):
    answer = call(server, "load_new_episode", "Atlantis", True, 0)[3]
    assert answer[0][0] is True
    assert "Dream01" in answer[0][1][0]
    assert client.get_world().get_map().name.endswith("Dream01")


def test_a_map_can_be_given_as_text(client):
    text = load_town("Dream04").xodr
    made = client.generate_opendrive_world(text, carla.OpendriveGenerationParameters(), False)
    assert made.get_map().name.endswith("OpenDriveMap")
    assert made.get_map().to_opendrive() == text
    client.load_world("Dream01", False)


@pytest.mark.parametrize(
    "text", ["", "no xml", "<OpenDRIVE><road", "<OpenDRIVE/>", '<!DOCTYPE a [<!ENTITY b "c">]><d/>']
)
def test_a_broken_map_is_refused_and_the_town_stays(server, client, text):
    answer = call(server, "copy_opendrive_to_file", text, 2.0, 50.0, 1.0, 0.6, True, True)[3]
    assert answer[0][0] is True
    assert client.get_world().get_map().name.endswith("Dream01")
