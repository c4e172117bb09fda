"""Files of recordings: their names, what is wrong with them, and where they end."""

import struct

import numpy as np
import pytest

from dreamdrive.envs.embedded.arguments import CallError
from dreamdrive.envs.embedded.recorder.columns import TableReader
from dreamdrive.envs.embedded.recorder.file_format import MAGIC, RecordingReader
from dreamdrive.envs.embedded.recorder.folder import RecordingFolder
from dreamdrive.envs.embedded.recorder_calls import RecorderCalls
from dreamdrive.errors import RecordingError
from support.recordings import TOWN, close_all, made, opened, record, replay


@pytest.fixture(autouse=True)
def closed():
    yield
    close_all()


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
