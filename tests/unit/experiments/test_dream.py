import json
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from dreamdrive.driving.causes import CAUSES
from dreamdrive.driving.palette import PALETTE
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.errors import CheckpointError, EpisodeError
from dreamdrive.experiments.dream import DreamConfig, dream, dream_scenes, lively_windows
from dreamdrive.experiments.film import ZOOM, draw_frame
from dreamdrive.worldmodel.episodes import Episode, EpisodeStore, FrameTable, save_episode
from support.tiny_world import save_tiny_world, tiny_model

STEPS = 20
CONFIG = DreamConfig(scenes=2, context=3, horizon=6)


def episode(*, vehicle: bool, speed: float) -> Episode:
    image = np.zeros((STEPS + 1, 64, 64, 3), np.uint8)
    if vehicle:
        for t in range(STEPS + 1):
            image[t, 10 + t : 18 + t, 20:26] = PALETTE["vehicle"]
    state = np.zeros((STEPS + 1, 14), np.float32)
    state[:, STATE_INDEX["speed"]] = speed
    action = np.linspace(-1.0, 1.0, 2 * STEPS, dtype=np.float32).reshape(STEPS, 2)
    return Episode(
        image=image, state=state, action=action, reward=np.zeros(STEPS, np.float32),
        terminated=np.zeros(STEPS, bool), truncated=np.zeros(STEPS, bool),
        cause=np.zeros(STEPS, np.uint8), cost=np.zeros((STEPS, 4), np.float32),
        meta={"causes": list(CAUSES), "driver": "expert"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("episodes")
    kinds = [(False, 6.0), (True, 6.0), (False, 0.0), (True, 5.0)]
    for i, (vehicle, speed) in enumerate(kinds):
        save_episode(folder / f"{i:03d}", episode(vehicle=vehicle, speed=speed))
    return folder


@pytest.fixture(scope="module")
def table(data: Path) -> FrameTable:
    return FrameTable.load(EpisodeStore(data), CAUSES[1:])


def test_windows_show_traffic_and_motion_in_different_episodes(table: FrameTable) -> None:
    rows = lively_windows(table, CONFIG)
    assert rows.shape == (2, 9)
    assert sorted((rows[:, 0] // (STEPS + 1)).tolist()) == [1, 3]
    assert (rows[:, 0] // (STEPS + 1)).equal(rows[:, -1] // (STEPS + 1))


def test_a_scene_is_real_until_its_context_ends_and_obeys_the_recorded_actions(
    table: FrameTable,
) -> None:
    model, rows = tiny_model(), lively_windows(table, CONFIG)
    scenes = dream_scenes(model, table, rows, CONFIG)
    for i, scene in enumerate(scenes):
        np.testing.assert_array_equal(scene.real, table.image_NHWC[rows[i]].numpy())
        np.testing.assert_array_equal(scene.dreamed[:3], scene.real[:3])
        assert not np.array_equal(scene.dreamed[3], scene.real[3])
        np.testing.assert_array_equal(scene.action, table.action_NA[rows[i]].numpy())
        assert (scene.risk[:3] == 0.0).all()
        assert (scene.risk[3:] > 0.0).all()
    state = model.init_state(1)
    for t in range(3):
        row = rows[0, t]
        image = table.image_NHWC[row].movedim(-1, 0)[None].float() / 255.0
        action = table.action_NA[row][None] if t else None
        state = model.observe(state, image, table.vector_NK[row][None], action)
    quiet = (torch.zeros(1, *model.latent_shape), torch.zeros(1, 14))
    _, left = model.imagine_step(state, table.action_NA[rows[0, 3]][None], noise=quiet)
    assert float(left.termination_BC.sum()) == pytest.approx(float(scenes[0].risk[3]), abs=0.02)


def test_a_frame_shows_reality_above_the_dream(table: FrameTable) -> None:
    scenes = dream_scenes(tiny_model(), table, lively_windows(table, CONFIG), CONFIG)
    picture = draw_frame(scenes, 5)
    large = scenes[0].real[5].repeat(ZOOM, 0).repeat(ZOOM, 1)
    size = len(large)
    np.testing.assert_array_equal(picture[24 : 24 + size, 10 : 10 + size], large)
    assert picture.shape[0] % 2 == 0
    assert picture.shape[1] % 2 == 0


def test_the_command_writes_film_gif_strip_and_scores(data: Path, tmp_path: Path) -> None:
    world = save_tiny_world(tmp_path / "world")
    out = tmp_path / "run"
    config = DreamConfig(data=data, model=str(world), out=out, scenes=2, context=3, horizon=6)
    film = dream(config)
    assert film == out / "dream.mp4"
    assert imageio_ffmpeg.count_frames_and_secs(str(film))[0] == 3 + 6 + 10
    with Image.open(out / "dream.gif") as moving:
        # The frames that stand still at the end are one.
        assert moving.n_frames >= 3 + 6
        legend = moving.convert("RGB").crop((0, 630, moving.width, moving.height))
        seen = {colour for _, colour in legend.getcolors(100_000) or []}
        assert {PALETTE["red_light"], PALETTE["walker"], PALETTE["stop_sign"]} <= seen
        assert moving.size == (10 + 2 * (64 * ZOOM + 10), 682)
    scores = json.loads((out / "dream.json").read_text())
    assert len(scores["psnr_dream_db"]) == len(scores["psnr_copy_db"]) == 6
    assert scores["psnr_copy_db"][0] > scores["psnr_copy_db"][-1] > 5.0
    assert json.loads((out / "run.json").read_text())["config"]["horizon"] == 6
    assert [p.name for p in out.glob(".*")] == []


def test_what_is_missing_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        dream(DreamConfig(data=data, model="nowhere", out=tmp_path))
    world = str(save_tiny_world(tmp_path / "world"))
    with pytest.raises(EpisodeError, match="no episodes"):
        dream(DreamConfig(data=tmp_path / "none", model=world, out=tmp_path))
    with pytest.raises(EpisodeError, match="has 108 frames"):
        dream(DreamConfig(data=data, model=world, out=tmp_path, horizon=100))
    with pytest.raises(ValueError, match="at least 1"):
        DreamConfig(scenes=0)
