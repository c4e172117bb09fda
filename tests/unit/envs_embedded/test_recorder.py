"""Recordings: what comes back is what was, to the last bit; files and names are looked at."""

import struct

import numpy as np
import pytest

from dreamdrive.envs.embedded.arguments import CallError
from dreamdrive.envs.embedded.limits import Limits
from dreamdrive.envs.embedded.recorder.columns import TableReader, TableWriter
from dreamdrive.envs.embedded.recorder.file_format import MAGIC, RecordingReader
from dreamdrive.envs.embedded.recorder.folder import RecordingFolder
from dreamdrive.envs.embedded.recorder.moments import Moment, between
from dreamdrive.envs.embedded.recorder.recorder import WHOLE_EVERY
from dreamdrive.envs.embedded.recorder_calls import RecorderCalls
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.errors import RecordingError

TOWN = load_town("Dream01")
CAR = "vehicle.lincoln.mkz_2020"


OPENED = []


@pytest.fixture(autouse=True)
def closed():
    """Lets the files go that a test has left open."""
    yield
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


@pytest.mark.parametrize("whole", [True, False])
def test_tables_come_back_bit_for_bit(whole):
    rng, dtype = np.random.default_rng(1), np.dtype([("a", "f8", 3), ("b", "i8")])
    writer, reader = TableWriter(), TableReader(dtype)
    table = np.zeros(0, dtype)
    for k in range(40):
        if k % 10 == 3:
            table = np.zeros(rng.integers(0, 9), dtype)
        chosen = rng.random((len(table), 3)) < 0.3
        table["a"][chosen] = rng.choice([np.nan, -0.0, 0.0, 1.5, np.inf], chosen.sum())
        table["b"][: len(table) // 2] = k
        ids = np.arange(len(table)) + k // 10
        reader.unpack(writer.pack(ids, table, whole=whole))
        assert reader.table.tobytes() == table.tobytes()
        assert reader.ids.tolist() == ids.tolist()


def test_recording_changes_nothing(tmp_path):
    plain, recorded = made(tmp_path), made(tmp_path)
    RecorderCalls(recorded).start_recorder("a.log")
    for _ in range(60):
        plain.tick()
        recorded.tick()
    assert state(recorded) == state(plain)
    assert recorded.world.vehicles.state.tobytes() == plain.world.vehicles.state.tobytes()


@pytest.mark.parametrize("cars", [1, 4])
def test_a_replay_in_a_new_world_is_exact(tmp_path, cars):
    frames = record(made(tmp_path, cars=cars), 300)
    sim = opened(tmp_path)
    replay(sim)
    assert state(sim) == frames[0]
    for expected in frames[1:]:
        sim.tick()
        assert state(sim) == expected
    assert np.hypot(*sim.world.vehicles.velocity[0]) > 1.0
    sim.tick()
    assert sim.recordings.replayer is None
    assert np.all(sim.world.vehicles.velocity == 0.0)
    assert np.all(sim.world.vehicles.physics == 1.0)


def test_actors_come_and_go_as_they_did(tmp_path):
    sim = made(tmp_path)
    extra = []

    def meanwhile(k):
        if k == 20:
            x, y, z, yaw = TOWN.spawn_points[60]
            extra.append(sim.world.spawn("vehicle.audi.tt", {"color": "1,2,3"}, x, y, z, yaw).id)
        if k == 50:
            sim.destroy(extra[0])
        if k == 30:
            sim.weather = [*sim.weather[:1], 77.0, *sim.weather[2:]]
            sim.light_states[extra[0]] = 3

    frames = record(sim, 80, meanwhile=meanwhile)
    other = opened(tmp_path)
    replay(other)
    for k, expected in enumerate(frames[1:]):
        other.tick()
        assert state(other) == expected
        assert (extra[0] in other.world.actors) is (20 <= k < 50)
        assert (other.weather[1] == 77.0) is (k >= 30)
        if 30 <= k < 50:
            assert other.light_states[extra[0]] == 3


@pytest.mark.parametrize(("start", "index"), [(2.0, 40), (-3.0, 340), (99.0, 400), (-99.0, 0)])
def test_a_replay_starts_where_it_is_told(tmp_path, start, index):
    frames = record(made(tmp_path), 400)
    assert WHOLE_EVERY < 340
    sim = opened(tmp_path)
    replay(sim, start=start)
    assert state(sim) == frames[index]
    for expected in frames[index + 1 : index + 20]:
        sim.tick()
        assert state(sim) == expected


def test_a_replay_lasts_as_long_as_it_is_told(tmp_path):
    frames = record(made(tmp_path), 100)
    sim = opened(tmp_path)
    replay(sim, start=1.0, duration=0.5)
    for _ in range(10):
        sim.tick()
        assert sim.recordings.replayer is not None
    assert state(sim) == frames[30]
    sim.tick()
    assert sim.recordings.replayer is None


def test_a_replay_at_twice_the_speed_shows_every_other_frame(tmp_path):
    frames = record(made(tmp_path), 100)
    sim = opened(tmp_path)
    sim.recordings.time_factor = 2.0
    replay(sim)
    for k in range(1, 50):
        sim.tick()
        assert state(sim) == frames[2 * k]


def test_a_slow_replay_passes_between_the_frames(tmp_path):
    source = made(tmp_path)
    places = []
    record(source, 60, meanwhile=lambda k: places.append(source.world.vehicles.pose.copy()))
    sim = opened(tmp_path)
    sim.recordings.time_factor = 0.25
    replay(sim)
    for k in range(1, 200):
        sim.tick()
        before, after = places[k // 4], places[k // 4 + 1]
        expected = before + (k % 4) / 4.0 * (after - before)
        np.testing.assert_allclose(sim.world.vehicles.pose[:, :2], expected[:, :2], atol=1e-9)


def test_turns_between_frames_take_the_shorter_way():
    source = Simulator(TOWN, synchronous=True)
    source.world.spawn(CAR, {}, *TOWN.spawn_points[0])
    rows = source.world.vehicles.state
    first, second = rows.copy(), rows.copy()
    first["pose"][:, 2], second["pose"][:, 2] = 3.1, -3.1
    ids = source.world.vehicles.id
    moments = [Moment(float(t), {"vehicles": (ids, r), "walkers": (ids, r)})
               for t, r in enumerate((first, second))]  # fmt: skip
    turned = between(*moments, 0.5)["vehicles"][1]["pose"][0, 2]
    assert abs(turned) == pytest.approx(np.pi)


def test_what_is_there_already_is_taken_over(tmp_path):
    sim = made(tmp_path)
    frames = record(sim, 40)
    actors = set(sim.world.actors)
    replay(sim)
    assert set(sim.world.actors) == actors
    assert state(sim) == frames[0]


def test_numbers_that_others_have_are_not_taken(tmp_path):
    frames = record(made(tmp_path), 10)
    sim = opened(tmp_path)
    sim.world.spawn("vehicle.audi.tt", {}, *TOWN.spawn_points[90])
    replay(sim)
    assert len(sim.world.vehicles) == 5
    sim.destroy(int(sim.world.vehicles.id[0]))
    sim.tick()
    assert state(sim) == frames[1]


def test_the_spectator_follows(tmp_path):
    source = made(tmp_path)
    record(source, 40)
    followed = int(source.world.vehicles.id[1])
    sim = opened(tmp_path)
    replay(sim, follow=followed)
    sim.tick()
    x, y, yaw = sim.world.vehicles.pose[1]
    at = sim.world.place(sim.world.spectator)
    assert at[:3] == pytest.approx((x - 10 * np.cos(yaw), y - 10 * np.sin(yaw), 5.0), abs=0.02)
    assert sim.world.actors[sim.world.spectator].tilt == (-25.0, 0.0)


@pytest.mark.parametrize("ignores", [True, False])
def test_heroes_and_spectator_can_be_left_alone(tmp_path, ignores):
    source = made(tmp_path)
    record(source, 10, meanwhile=lambda k: source.world.move(source.world.spectator, k, 0, 0, 0))
    sim = opened(tmp_path)
    sim.recordings.ignores_hero = sim.recordings.ignores_spectator = ignores
    replay(sim)
    for _ in range(10):
        sim.tick()
    roles = [sim.world.actors[int(i)].attributes["role_name"] for i in sim.world.vehicles.id]
    assert roles.count("hero") == (0 if ignores else 1)
    assert sim.world.place(sim.world.spectator)[0] == (0.0 if ignores else 9.0)


@pytest.mark.parametrize("keeps", [True, False])
def test_stopping_keeps_actors_or_removes_them(tmp_path, keeps):
    record(made(tmp_path), 40)
    sim = opened(tmp_path)
    replay(sim)
    sim.tick()
    RecorderCalls(sim).stop_replayer(keeps)
    assert len(sim.world.vehicles) == (4 if keeps else 0)
    assert sim.recordings.replayer is None


@pytest.mark.parametrize("with_sensors", [True, False])
def test_sensors_come_back_if_wanted(tmp_path, with_sensors):
    source = made(tmp_path)
    car = int(source.world.vehicles.id[0])
    source.world.spawn("sensor.other.imu", {}, 1.0, 0.0, 2.0, 0.0, car)
    record(source, 4)
    sim = opened(tmp_path)
    RecorderCalls(sim).replay_file("a.log", 0.0, 0.0, 0, with_sensors)
    found = [a for a in sim.world.actors.values() if a.kind == "sensor.other.imu"]
    assert len(found) == with_sensors
    if with_sensors:
        assert found[0].parent == sim.world.vehicles.id[0]


def test_another_town_is_loaded(tmp_path):
    record(made(tmp_path, town=load_town("Dream02")), 4)
    sim = opened(tmp_path)
    episode = sim.episode
    replay(sim)
    assert sim.world.town.name == "Dream02"
    assert sim.episode == episode + 1
    assert len(sim.world.vehicles) == 4


@pytest.mark.parametrize(
    "name", ["", "../a.log", "/etc/passwd", "b/../../a", ".", "a\0b", "link/a.log"]
)
def test_names_do_not_leave_the_folder(tmp_path, name):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    sim = made(inside, cars=1)
    for ask in (RecorderCalls(sim).start_recorder, lambda n: replay(sim, n)):
        with pytest.raises(CallError, match="no file in the folder"):
            ask(name)
    assert list(outside.iterdir()) == []


def test_names_of_subfolders_and_whole_paths_may_stay_inside(tmp_path):
    folder = RecordingFolder(tmp_path, 100)
    assert folder.file("a/b.log") == tmp_path.resolve() / "a/b.log"
    assert folder.file(str(tmp_path / "c.log")) == tmp_path.resolve() / "c.log"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: b"CARLA_RECORDER" + data, "no recording"), (lambda data: b"", "no recording"),
        (lambda data: data[:8] + struct.pack("<I", 9) + data[12:], "format 9"),
        (lambda data: data[:40], "cut short"),
        (lambda data: data[:-9] + b"x" + data[-8:], "checksum"),
        (lambda data: data.replace(b"yaw_rate", b"yaw_RATE"), "checksum"),
    ],
)  # fmt: skip
def test_broken_and_foreign_files_are_said(tmp_path, spoil, words):
    record(made(tmp_path), 5)
    path = tmp_path / "a.log"
    data = path.read_bytes()
    assert data.startswith(MAGIC)
    path.write_bytes(spoil(data))
    sim = opened(tmp_path)
    with pytest.raises(CallError, match=words) as caught:
        RecorderCalls(sim).show_recorder_file_info("a.log", True)
    assert "a.log" in str(caught.value)
    assert sim.recordings.replayer is None


def test_a_file_that_a_dying_server_left_is_replayed_as_far_as_it_goes(tmp_path):
    frames = record(made(tmp_path), 20)
    path = tmp_path / "a.log"
    path.write_bytes(path.read_bytes()[:-5])
    sim = opened(tmp_path)
    assert "broken off" in RecorderCalls(sim).show_recorder_file_info("a.log", False)[0][1]
    replay(sim)
    for _ in range(30):
        sim.tick()
    reader = RecordingReader(path)
    reader.close()
    assert (reader.num_frames, reader.is_cut) == (20, True)
    assert sim.recordings.replayer is None
    pose = sim.world.records()[0]["location"]
    assert (
        pose.tobytes()
        == np.frombuffer(frames[19][0], sim.world.records()[0].dtype)["location"].tobytes()
    )


def test_a_frame_that_breaks_in_the_middle_ends_the_replay_and_is_said(tmp_path):
    record(made(tmp_path), 20)
    path = tmp_path / "a.log"
    data = bytearray(path.read_bytes())
    data[-9] ^= 255
    path.write_bytes(bytes(data))
    sim, said = opened(tmp_path), []
    sim.recordings.say = said.append
    replay(sim)
    for _ in range(30):
        sim.tick()
    assert sim.recordings.replayer is None
    assert len(said) == 1
    assert "checksum" in said[0]


def test_a_recording_ends_at_its_limit(tmp_path):
    sim, said = made(tmp_path, max_recording_bytes=30_000), []
    sim.recordings.say = said.append
    RecorderCalls(sim).start_recorder("a.log")
    for _ in range(500):
        sim.tick()
    assert sim.recordings.recorder is None
    assert len(said) == 1
    assert 30_000 <= (tmp_path / "a.log").stat().st_size < 32_000
    with pytest.raises(CallError, match="max-recording-bytes"):
        RecorderCalls(sim).start_recorder("b.log")
    RecorderCalls(sim).start_recorder("a.log")


def test_a_recording_ends_with_its_world(tmp_path):
    sim = made(tmp_path)
    RecorderCalls(sim).start_recorder("a.log")
    with pytest.raises(CallError, match="still being made"):
        replay(sim)
    sim.enter(TOWN)
    assert sim.recordings.recorder is None
    replay(sim)
    with pytest.raises(CallError, match="being replayed"):
        RecorderCalls(sim).start_recorder("a.log")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(CallError, match=r"no recording to read.*b\.log"):
        replay(made(tmp_path), "b.log")


def test_what_comes_back_of_a_broken_table_is_an_error():
    reader = TableReader(np.dtype([("a", "f8")]))
    for parts in ([b"12345678", b"", b""], [b"", b"\xff", b"1234"], [b"1", b"", b""]):
        with pytest.raises(RecordingError, match="fit"):
            reader.unpack(parts)
