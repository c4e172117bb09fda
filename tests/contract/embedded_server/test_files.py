"""Files and worlds that the embedded server gives out."""

import pytest

from dreamdrive.envs.embedded.towns import load_town
from support.server import call, spawn

carla = pytest.importorskip("carla")


def test_of_the_files_only_the_navigation_mesh_is_required(client):
    assert client.get_required_files() == []
    (name,) = client.get_required_files("Nav", False)
    assert name.startswith("Carla/Maps/Nav/Dream01-")
    assert name.endswith(".bin")


def test_the_navigation_mesh_can_be_fetched_as_a_file(server, client, tmp_path):
    client.set_files_base_folder(str(tmp_path))
    (name,) = client.get_required_files("Nav")
    (path,) = tmp_path.rglob("Dream01-*.bin")
    assert str(path).endswith(name)
    assert path.read_bytes()[:4] == b"TESM"
    assert call(server, "get_navigation_mesh")[3] == [[1, path.read_bytes()]]


def test_the_map_can_be_fetched_as_a_file(client, tmp_path):
    client.set_files_base_folder(str(tmp_path))
    client.request_file("Dream01.xodr")
    (path,) = tmp_path.rglob("Dream01.xodr")
    assert path.read_text() == load_town("Dream01").xodr


@pytest.mark.parametrize("name", ["Town01.bin", "", "../../etc/passwd"])
def test_other_files_are_refused(server, client, name):
    kind, (text,) = call(server, "request_file", name)[3][0]
    assert kind == 0
    assert "Dream01.xodr" in text


def test_a_world_can_be_loaded_again(client, world):
    spawn(world)
    world.tick()
    again = client.reload_world(False)
    assert again.id != world.id
    assert again.get_map().name.endswith("Dream01")
    assert not again.get_actors().filter("vehicle.*")
    assert again.get_settings().synchronous_mode


def test_the_same_world_is_not_loaded_again(client, world):
    before = client.get_world().id
    client.load_world_if_different("Dream01", False)
    assert client.get_world().id == before


def test_the_spectator_moves(world):
    spectator = world.get_spectator()
    turned = carla.Rotation(pitch=-60.0, yaw=30.0, roll=5.0)
    place = carla.Transform(carla.Location(3.0, 4.0, 25.0), turned)
    spectator.set_transform(place)
    world.tick()
    told = spectator.get_transform()
    assert told.location.distance(place.location) < 1e-3
    assert told.rotation.yaw == pytest.approx(30.0)
    assert (told.rotation.pitch, told.rotation.roll) == (pytest.approx(-60.0), pytest.approx(5.0))
    assert not spectator.destroy()


@pytest.mark.parametrize(
    ("index", "value"), [(0, 1), (1, "no"), (2, [True, float("nan")]), (2, []), (5, -3), (6, "far")]
)
def test_broken_settings_are_refused_and_the_old_stay(server, world, index, value):
    raw = call(server, "get_episode_settings")[3][0][1]
    broken = [*raw[:index], value, *raw[index + 1 :]]
    assert call(server, "set_episode_settings", broken)[3][0][0] == 0
    assert call(server, "get_episode_settings")[3][0][1] == raw


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("load_new_episode", [5, True, 0]), ("load_new_episode", ["Dream01", "yes", 0]),
        ("get_sensor_token", ["x"]), ("copy_opendrive_to_file", [7]),
        ("set_imui_gravity", ["down"]), ("add_traffic_manager_running", [[1, 2]]),
        ("get_environment_objects", [999]), ("get_wheel_steer_angle", [1, 9]),
    ],
)  # fmt: skip
def test_wrong_types_are_refused_and_the_server_goes_on(server, client, method, arguments):
    (answer,) = call(server, method, *arguments)[3]
    assert answer[0] in (0, True)
    assert isinstance(answer[1][0], str)
    assert client.get_server_version() == "0.9.16"
