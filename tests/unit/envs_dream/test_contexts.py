from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamdrive.driving.palette import PALETTE
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.envs.dream.contexts import Contexts, choose_windows, vehicle_pixels
from dreamdrive.errors import CheckpointError, ConfigError, EpisodeError
from dreamdrive.worldmodel.episodes import FrameTable
from support.tiny_world import CLIP_LENGTH, NUM_CONTEXTS, tiny_contexts, tiny_model


def table(lengths: tuple[int, ...] = (40, 60), busy: int = 1) -> FrameTable:
    """Episodes whose first `busy` show a vehicle; the speed is the row's number."""
    frames = sum(lengths)
    image = torch.zeros(frames, 64, 64, 3, dtype=torch.uint8)
    image[: sum(lengths[:busy]), 10:16, 20:24] = torch.tensor(PALETTE["vehicle"]).byte()
    vector = torch.zeros(frames, 14)
    vector[:, STATE_INDEX["speed"]] = torch.arange(frames).float()
    length = torch.tensor(lengths)
    return FrameTable(
        image_NHWC=image, vector_NK=vector, action_NA=torch.zeros(frames, 2),
        reward_N=torch.zeros(frames), cause_N=torch.zeros(frames, dtype=torch.long),
        start_E=length.cumsum(0) - length, length_E=length, drivers=("a",) * len(lengths),
    )  # fmt: skip


def test_files_are_lossless_and_small(tmp_path: Path) -> None:
    contexts = tiny_contexts()
    contexts.save(tmp_path)
    again = Contexts.load(tmp_path)
    np.testing.assert_array_equal(again.image, contexts.image)
    np.testing.assert_array_equal(again.vector, contexts.vector)
    np.testing.assert_array_equal(again.action, contexts.action)
    frames = NUM_CONTEXTS * CLIP_LENGTH
    assert (tmp_path / "contexts.safetensors").stat().st_size < 2000 * frames


def test_a_missing_or_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no start contexts"):
        Contexts.load(tmp_path)
    tiny_contexts().save(tmp_path)
    path = tmp_path / "contexts.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        Contexts.load(tmp_path)
    at = whole.index(b"\x89PNG")
    path.write_bytes(whole[:at] + b"xxxx" + whole[at + 4 :])
    with pytest.raises(CheckpointError, match="contexts are damaged"):
        Contexts.load(tmp_path)


@pytest.mark.parametrize("field", ["image", "vector", "action"])
def test_clips_that_do_not_fit_are_refused(field: str) -> None:
    contexts = tiny_contexts()
    with pytest.raises(ConfigError, match="do not fit"):
        replace(contexts, **{field: getattr(contexts, field)[:, 1:]})
    bad = contexts.vector.copy()
    bad[0, 0, 0] = np.nan
    with pytest.raises(ConfigError, match="not finite"):
        replace(contexts, vector=bad)


def test_windows_stay_in_their_episode_and_leave_time() -> None:
    rows = choose_windows(table(), count=24, length=8, after=15, traffic=0.5, seed=3)
    assert rows.shape == (24, 8)
    assert torch.equal(rows[:, 1:] - rows[:, :-1], torch.ones(24, 7, dtype=torch.long))
    first, last = rows[:, 0], rows[:, -1]
    inside = (last + 15 <= 39) | ((first >= 40) & (last + 15 <= 99))
    assert bool(inside.all())


def test_the_wanted_share_shows_traffic() -> None:
    contexts = Contexts.choose(table((60, 60)), count=20, length=4, traffic=0.6, seed=1)
    near = vehicle_pixels(contexts.image[:, -1]) > 0
    assert int(near.sum()) == 12
    again = Contexts.choose(table((60, 60)), count=20, length=4, traffic=0.6, seed=1)
    np.testing.assert_array_equal(contexts.vector, again.vector)


def test_without_traffic_quiet_windows_fill_up() -> None:
    contexts = Contexts.choose(table((60, 60), busy=0), count=20, length=4, seed=1)
    assert len(contexts) == 20


def test_short_episodes_give_short_clips() -> None:
    assert Contexts.choose(table((5,)), count=2).length == 5
    with pytest.raises(EpisodeError):
        choose_windows(table((10,)), count=2, length=8, after=5, traffic=0.0, seed=0)


def test_states_are_those_of_the_frames_seen_one_by_one() -> None:
    model, contexts = tiny_model(), tiny_contexts()
    bank = contexts.encode(model)
    state = model.init_state(1)
    for t in range(CLIP_LENGTH):
        image = torch.from_numpy(contexts.image[2, t]).movedim(-1, 0)[None].float() / 255.0
        vector = torch.from_numpy(contexts.vector[2, t])[None]
        action = torch.from_numpy(contexts.action[2, t])[None] if t else None
        state = model.observe(state, image, vector, action)
    torch.testing.assert_close(bank.latent_BCHW[2], state.latent_BCHW[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(bank.decoder_cache[2], state.decoder_cache[0], atol=1e-5, rtol=1e-4)
    assert int(bank.memory.count_B[2]) == CLIP_LENGTH - 1


def test_clips_of_another_size_are_refused() -> None:
    contexts = tiny_contexts()
    with pytest.raises(ConfigError, match="the world model reads"):
        replace(contexts, image=contexts.image[:, :, :32]).encode(tiny_model())
