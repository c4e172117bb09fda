"""Worlds of the embedded server: towns, settings, time, weather, maps."""

import pytest

from dreamdrive.envs.embedded.towns import load_town
from support.server import DT_S, call

carla = pytest.importorskip("carla")


def test_versions_match(client):
    assert client.get_server_version() == client.get_client_version() == "0.9.16"


def test_maps_are_the_towns(client, world):
    names = sorted(name.rsplit("/", 1)[-1] for name in client.get_available_maps())
    assert names == [f"Dream0{i}" for i in range(1, 9)]
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


def test_recording_says_that_it_is_missing(client):
    with pytest.raises(RuntimeError, match="no recorder"):
        client.show_recorder_file_info("a.log", False)
