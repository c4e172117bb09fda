"""Recordings: what comes back is what was, to the last bit."""

import numpy as np
import pytest

from dreamdrive.envs.embedded.recorder.columns import TableReader, TableWriter
from dreamdrive.envs.embedded.recorder.moments import Moment, between
from dreamdrive.envs.embedded.recorder.recorder import WHOLE_EVERY
from dreamdrive.envs.embedded.recorder_calls import RecorderCalls
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from support.recordings import CAR, TOWN, close_all, made, opened, record, replay, state


@pytest.fixture(autouse=True)
def closed():
    yield
    close_all()


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
