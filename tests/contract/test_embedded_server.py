"""The embedded server against CARLA's own client, unmodified, in another process."""

import contextlib
import math
import os
import queue
import socket
import struct
import subprocess
import sys

import msgpack
import numpy as np
import pytest

from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.world_calls import WorldCalls
from dreamdrive.errors import MapError

carla = pytest.importorskip("carla")

CAR = "vehicle.lincoln.mkz_2020"
DT_S = 0.05
CLIENT_PROGRAM = """
import sys, carla
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(10.0)
world = client.get_world()
car = world.get_blueprint_library().find("vehicle.audi.tt")
world.spawn_actor(car, world.get_map().get_spawn_points()[int(sys.argv[2])])
print("ready", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def server_process(*arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamdrive.envs.embedded", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def server():
    with server_process("--port", "0", "--sync") as process:
        line = process.stdout.readline()
        assert line.startswith("ready 127.0.0.1:")
        yield int(line.rsplit(":", 1)[1])


@pytest.fixture(scope="module")
def client(server):
    made = carla.Client("127.0.0.1", server, 4)
    made.set_timeout(20.0)
    return made


@pytest.fixture
def world(client):
    """A world in synchronous mode from which everything that is spawned disappears again."""
    found = client.get_world()
    settings = found.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, DT_S
    found.apply_settings(settings)
    found.reset_all_traffic_lights()
    yield found
    found.tick()
    movable = [a for a in found.get_actors() if not a.type_id.startswith(("traffic.", "spectator"))]
    for sensor in (a for a in movable if a.type_id.startswith("sensor.")):
        if sensor.is_listening:
            sensor.stop()
    client.apply_batch_sync([carla.command.DestroyActor(a) for a in movable], True)


def spawn(world, index=0, kind=CAR):
    blueprint = world.get_blueprint_library().find(kind)
    return world.spawn_actor(blueprint, world.get_map().get_spawn_points()[index])


def ticks(world, count):
    for _ in range(count):
        world.tick()


def call(server, method, *arguments):
    """Returns the raw answer to one remote call."""
    with socket.create_connection(("127.0.0.1", server), timeout=10.0) as peer:
        peer.sendall(msgpack.packb([0, 1, method, [["", False], *arguments]]))
        unpacker = msgpack.Unpacker()
        while True:
            unpacker.feed(peer.recv(65536))
            for message in unpacker:
                return message


# --- the world -----------------------------------------------------------------------------------


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


# --- actors --------------------------------------------------------------------------------------


def test_blueprints_have_their_attributes(world):
    library = world.get_blueprint_library()
    assert len(library.filter("vehicle.*")) >= 20
    assert len(library.filter("walker.pedestrian.*")) >= 10
    car = library.find(CAR)
    assert car.get_attribute("number_of_wheels").as_int() == 4
    car.set_attribute("color", "1,2,3")
    actor = world.spawn_actor(car, world.get_map().get_spawn_points()[0])
    assert actor.attributes["color"] == "1,2,3"
    assert actor.type_id == CAR


def test_an_actor_appears_and_disappears(world):
    car = spawn(world)
    world.tick()
    assert car.id in [a.id for a in world.get_actors()]
    assert car.bounding_box.extent.x == pytest.approx(2.45)
    assert car.destroy()
    world.tick()
    assert car.id not in [a.id for a in world.get_actors()]


def test_a_taken_place_is_refused(world):
    spawn(world)
    with pytest.raises(RuntimeError, match="collision at spawn position"):
        spawn(world)
    blueprint = world.get_blueprint_library().find(CAR)
    place = world.get_map().get_spawn_points()[0]
    assert world.try_spawn_actor(blueprint, place) is None


def test_transforms_go_both_ways(world):
    car = spawn(world)
    spot = world.get_map().get_spawn_points()[20]
    car.set_transform(spot)
    world.tick()
    got = car.get_transform()
    assert got.location.distance_2d(spot.location) < 0.01
    assert math.cos(math.radians(got.rotation.yaw - spot.rotation.yaw)) == pytest.approx(1.0)


def test_throttle_moves_and_the_brake_stops(world):
    car = spawn(world)
    world.tick()
    start = car.get_transform()
    car.apply_control(carla.VehicleControl(throttle=1.0))
    ticks(world, 20)
    assert car.get_control().throttle == 1.0
    velocity, heading = car.get_velocity(), start.get_forward_vector()
    speed = velocity.x * heading.x + velocity.y * heading.y
    assert 3.5 < speed < 4.5
    car.apply_control(carla.VehicleControl(brake=1.0))
    ticks(world, 20)
    assert car.get_velocity().length() == pytest.approx(0.0, abs=1e-6)
    assert 2.0 < car.get_location().distance(start.location) < 5.0


def test_reverse_drives_backwards(world):
    car = spawn(world)
    car.apply_control(carla.VehicleControl(throttle=1.0, reverse=True))
    ticks(world, 10)
    heading, velocity = car.get_transform().get_forward_vector(), car.get_velocity()
    assert velocity.x * heading.x + velocity.y * heading.y < -1.0


def test_walkers_walk(world):
    blueprint = world.get_blueprint_library().filter("walker.pedestrian.*")[0]
    walker = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[3])
    world.tick()
    before = walker.get_location()
    walker.apply_control(carla.WalkerControl(carla.Vector3D(0.0, 1.0, 0.0), 1.5, False))
    ticks(world, 20)
    moved = walker.get_location() - before
    assert (moved.x, moved.y) == pytest.approx((0.0, 1.5), abs=0.1)


def test_a_batch_reports_each_error_beside_its_command(client, world):
    blueprint = world.get_blueprint_library().find(CAR)
    places = world.get_map().get_spawn_points()
    answers = client.apply_batch_sync(
        [
            carla.command.SpawnActor(blueprint, places[0]),
            carla.command.SpawnActor(blueprint, places[0]),
            carla.command.SpawnActor(blueprint, places[8]).then(
                carla.command.ApplyVehicleControl(
                    carla.command.FutureActor, carla.VehicleControl(throttle=0.5)
                )
            ),
            carla.command.ApplyVehicleControl(999_999, carla.VehicleControl()),
        ],
        True,
    )
    assert [a.has_error() for a in answers] == [False, True, False, True]
    assert "collision" in answers[1].error
    assert "999999" in answers[3].error
    assert world.get_actor(answers[2].actor_id).get_control().throttle == pytest.approx(0.5)


# --- lights --------------------------------------------------------------------------------------


def test_lights_can_be_read_set_and_frozen(world):
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    for state in (carla.TrafficLightState.Green, carla.TrafficLightState.Red):
        light.set_state(state)
        light.freeze(True)
        ticks(world, 30)
        assert light.get_state() == state
        assert light.is_frozen()
    light.freeze(False)
    world.tick()
    assert not light.is_frozen()


def test_lights_know_their_junction_and_their_lanes(world):
    world.tick()
    lights = world.get_actors().filter("traffic.traffic_light")
    assert len(lights) == len(load_town("Dream01").lights)
    for light in lights:
        group = {other.id for other in light.get_group_traffic_lights()}
        assert light.id in group
        assert len(group) >= 3
        assert light.get_stop_waypoints()


def test_lights_change_by_themselves(world):
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    seen = set()
    for _ in range(round(45.0 / DT_S)):
        world.tick()
        seen.add(light.get_state())
    names = carla.TrafficLightState
    assert seen == {names.Red, names.Yellow, names.Green}


def test_a_vehicle_at_a_light_knows_it(world):
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    car = spawn(world)
    place = light.get_stop_waypoints()[0].previous(4.0)[0].transform
    car.set_transform(place)
    light.set_state(carla.TrafficLightState.Red)
    world.tick()
    assert car.is_at_traffic_light()
    assert car.get_traffic_light().id == light.id
    assert car.get_traffic_light_state() == carla.TrafficLightState.Red


# --- sensors -------------------------------------------------------------------------------------


def listen(world, kind, parent, **attributes):
    blueprint = world.get_blueprint_library().find(kind)
    for name, value in attributes.items():
        blueprint.set_attribute(name, value)
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=parent)
    messages = queue.Queue()
    sensor.listen(messages.put)
    return sensor, messages


def test_imu_and_gnss_send_once_a_tick_with_its_frame(world):
    car = spawn(world)
    world.tick()
    imu, imu_messages = listen(world, "sensor.other.imu", car)
    gnss, gnss_messages = listen(world, "sensor.other.gnss", car)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    # The subscription travels on a socket of its own: tick until both have come through.
    for messages in (imu_messages, gnss_messages):
        for _ in range(200):
            world.tick()
            with contextlib.suppress(queue.Empty):
                messages.get(timeout=0.02)
                break
        else:
            pytest.fail("no sensor data")
    frame = world.tick()
    for messages in (imu_messages, gnss_messages):
        got = messages.get(timeout=10.0)
        while got.frame < frame:
            got = messages.get(timeout=10.0)
        assert got.frame == frame
        if messages is imu_messages:
            assert got.accelerometer.z == pytest.approx(9.81, abs=0.01)
            assert got.accelerometer.x > 0.5
        else:
            where = world.get_map().transform_to_geolocation(car.get_location())
            assert got.latitude == pytest.approx(where.latitude, abs=1e-7)
            assert got.longitude == pytest.approx(where.longitude, abs=1e-7)
    imu.stop()
    gnss.stop()


def test_a_collision_names_the_other_and_its_frame(world):
    car = spawn(world)
    world.tick()
    sensor, messages = listen(world, "sensor.other.collision", car)
    ahead = car.get_transform()
    ahead.location += 8.0 * ahead.get_forward_vector()
    ahead.location.z += 0.3
    other = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), ahead)
    ticks(world, 5)
    heading = ahead.get_forward_vector()
    car.set_target_velocity(carla.Vector3D(10.0 * heading.x, 10.0 * heading.y, 0.0))
    first = world.get_snapshot().frame
    ticks(world, 20)
    event = messages.get(timeout=10.0)
    assert event.actor.id == car.id
    assert event.other_actor.id == other.id
    assert event.other_actor.type_id == "vehicle.audi.tt"
    assert first < event.frame <= first + 20
    assert event.normal_impulse.length() > 1000.0
    sensor.stop()


# --- the Traffic Manager -------------------------------------------------------------------------

TRAFFIC_PROGRAM = """
import socket, sys, carla
port = int(sys.argv[1])
client = carla.Client("127.0.0.1", port, 4)
client.set_timeout(20.0)
world = client.get_world()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    manager_port = free.getsockname()[1]
manager = client.get_trafficmanager(manager_port)
manager.set_synchronous_mode(True)
manager.set_random_device_seed(3)
world.reset_all_traffic_lights()
library = [b for b in world.get_blueprint_library().filter("vehicle.*")
           if b.get_attribute("base_type").as_str() == "car"]
places = world.get_map().get_spawn_points()[::3][:20]
answers = client.apply_batch_sync([
    carla.command.SpawnActor(library[i % len(library)], place).then(
        carla.command.SetAutopilot(carla.command.FutureActor, True, manager_port))
    for i, place in enumerate(places)], True)
cars = world.get_actors([a.actor_id for a in answers if not a.has_error()])
start = {car.id: car.get_location() for car in cars}
ran, stood, moved = 0, 0, {car.id: 0.0 for car in cars}
held = {car.id: False for car in cars}
last = dict(start)
red = carla.TrafficLightState.Red
for frame in range(1200):
    world.tick()
    for car in cars:
        here = car.get_location()
        moved[car.id] += here.distance(last[car.id])
        last[car.id] = here
        speed = car.get_velocity().length()
        at_red = car.is_at_traffic_light() and car.get_traffic_light_state() == red
        stood += at_red and speed < 0.1
        if held[car.id] and not car.is_at_traffic_light() and state_before[car.id] == red:
            ran += speed > 2.0
        held[car.id] = at_red
    state_before = {car.id: car.get_traffic_light_state() for car in cars}
print("result", len(cars), sum(m > 30.0 for m in moved.values()), stood, ran, flush=True)
import os
os._exit(0)
"""


def test_twenty_vehicles_of_the_traffic_manager_drive_and_stop_at_red(server, world):
    # In a process of its own, which a Traffic Manager that loses a wake-up cannot take along.
    for _ in range(3):
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                [sys.executable, "-c", TRAFFIC_PROGRAM, str(server)],
                capture_output=True, text=True, timeout=60, check=True,
            )  # fmt: skip
            break
        movable = [a for a in world.get_actors() if a.type_id.startswith("vehicle.")]
        for actor in movable:
            actor.destroy()
    cars, moving, stood, ran = (int(word) for word in done.stdout.split("result")[1].split())
    assert cars == 20
    assert moving >= 17
    assert stood > 20
    assert ran == 0


# --- several clients and bad ones ----------------------------------------------------------------


def test_two_clients_see_one_world(server, world):
    car = spawn(world)
    world.tick()
    other = carla.Client("127.0.0.1", server, 2)
    other.set_timeout(20.0)
    seen = other.get_world()
    # A client knows of actors from the first frame that reaches it, and that takes a tick.
    frame = seen.tick()
    assert car.id in [a.id for a in seen.get_actors()]
    assert world.get_snapshot().frame >= frame - 1
    world.tick()
    assert world.get_snapshot().frame == frame + 1


def test_a_client_that_is_killed_leaves_the_server_answering(server, world):
    other = subprocess.Popen(
        [sys.executable, "-c", CLIENT_PROGRAM, str(server), "30"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "ready" in other.stdout.readline()
    other.kill()
    other.communicate()
    ticks(world, 3)
    assert "vehicle.audi.tt" in [a.type_id for a in world.get_actors()]


GARBAGE = [
    b"\xff" * 64,
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    msgpack.packb([0, 1]),
    msgpack.packb({"a": 1}),
    msgpack.packb([0, 1, 2, 3]),
    msgpack.packb([0, 1, "version", None]),
    msgpack.packb([[[[[]]]]]) * 100,
    b"\x91" * 5000,
    b"\xdf\xff\xff\xff\xff",
    os.urandom(4096),
    struct.pack("<I", 1 << 31),
]


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_on_either_port_hurts_nobody_else(server, client, offset, data):
    with socket.create_connection(("127.0.0.1", server + offset), timeout=10.0) as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        peer.settimeout(10.0)
        with contextlib.suppress(ConnectionError):
            while peer.recv(4096):
                pass
    assert client.get_server_version() == "0.9.16"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("spawn_actor", []),
        ("spawn_actor", [["a"], 3]),
        ("apply_control_to_vehicle", [1, [float("nan")] * 8]),
        ("set_actor_transform", [10**9, [[0.0] * 3, [0.0] * 3]]),
        ("set_traffic_light_state", ["x", None]),
        ("apply_batch", [[[[99, []]]], False]),
        ("apply_batch", [[[[2, [1]]]], False]),
        ("apply_batch", [[7], False]),
        ("set_episode_settings", [[]]),
        ("get_actors_by_id", [[[]]]),
    ],
)
def test_broken_arguments_are_answered_and_forgotten(server, client, method, arguments):
    kind, number, error, result = call(server, method, *arguments)
    assert (kind, number) == (1, 1)
    assert error is not None or result is not None
    assert client.get_server_version() == "0.9.16"


def test_an_unknown_call_is_named(server):
    assert "make_coffee" in call(server, "make_coffee")[2]


# --- starting ------------------------------------------------------------------------------------


def test_a_taken_port_is_said_in_one_sentence(server):
    with server_process("--port", str(server)) as process:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 2
        assert f"Port {server} is taken" in error
        assert "--port" in error
        assert "Traceback" not in error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<OpenDRIVE><road", "not well-formed"),
        ("plain text", "not well-formed"),
        ("<OpenDRIVE/>", "no roads"),
        (
            '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><OpenDRIVE>&b;</OpenDRIVE>',
            "not well-formed",
        ),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
    ids=["truncated", "not-xml", "no-roads", "bomb", "not-text"],
)
def test_a_broken_map_file_is_said_in_one_sentence(tmp_path, content, words):
    path = tmp_path / "broken.xodr"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(MapError, match=words) as caught:
        load_town(str(path))
    assert "broken.xodr" in str(caught.value)


def test_a_map_cut_short_anywhere_is_a_map_error(tmp_path):
    text = load_town("Dream01").xodr
    for share in (0.1, 0.5, 0.9, 0.999):
        path = tmp_path / f"cut-{share}.xodr"
        path.write_text(text[: int(len(text) * share)])
        with pytest.raises(MapError, match="not well-formed"):
            load_town(str(path))


# --- in process ----------------------------------------------------------------------------------


def test_the_wire_changes_nothing_about_a_trajectory(world):
    controls = [(0.8, 0.0, 0.0), (0.5, 0.15, 0.0), (0.0, -0.3, 0.4), (1.0, 0.05, 0.0)]
    simulator = Simulator(load_town("Dream01"), synchronous=True)
    inside = simulator.world
    # The wire carries places and controls in single precision.
    place = [float(np.float32(value)) for value in inside.town.spawn_points[5]]
    own = inside.spawn(CAR, {}, *place).id
    car = spawn(world, 5)
    world.tick()
    simulator.tick()
    for step in range(120):
        throttle, steer, brake = controls[step // 30]
        car.apply_control(carla.VehicleControl(throttle=throttle, steer=steer, brake=brake))
        row = inside.vehicles.row[own]
        inside.vehicles.throttle[row] = np.float32(throttle)
        inside.vehicles.steer[row] = np.float32(steer)
        inside.vehicles.brake[row] = np.float32(brake)
        world.tick()
        simulator.tick()
        got, record = car.get_transform(), inside.vehicles.record[row]
        assert got.location.x == record["location"][0]
        assert got.location.y == record["location"][1]
        assert got.rotation.yaw == pytest.approx(float(record["rotation"][1]), abs=1e-4)
    assert WorldCalls(simulator).version() == [[1, "0.9.16"]]
