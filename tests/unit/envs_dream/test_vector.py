from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from dreamdrive.driving.causes import TERMINATION_CAUSES
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.envs.dream.env import DreamEnv
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.errors import ActionError, CheckpointError, ConfigError
from support.tiny_world import NUM_CONTEXTS, tiny_contexts, tiny_model

MODES = list(AutoresetMode)


def actions(steps: int, num_envs: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1.0, 1.0, (steps, num_envs, 2)).astype(np.float32)


def close(mine: Any, theirs: Any, where: str = "") -> None:
    """Compares nested observations and infos; images may differ by one grey level."""
    if isinstance(mine, dict):
        assert set(mine) == set(theirs), where
        for name in mine:
            close(mine[name], theirs[name], f"{where}.{name}")
    elif isinstance(mine, np.ndarray) and mine.dtype == object:
        for a, b in zip(mine, theirs, strict=True):
            close(a, b, where)
    elif isinstance(mine, np.ndarray):
        gap = np.abs(mine.astype(float) - np.asarray(theirs).astype(float)).max()
        assert gap <= (1.0 if mine.dtype == np.uint8 else 1e-4), where
    else:
        assert mine == theirs, where


def within(info: dict[str, Any]) -> dict[str, Any]:
    """Blanks the values outside their masks, where they mean nothing."""
    out: dict[str, Any] = {}
    for name, value in info.items():
        if name.startswith("_"):
            out[name] = value
        elif isinstance(value, dict):
            out[name] = within(value)
        else:
            out[name] = np.where(info[f"_{name}"], value, None if value.dtype == object else 0)
    return out


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_equals_single_dreams_in_every_autoreset_mode(
    world: Path, mode: AutoresetMode
) -> None:
    how: dict[str, Any] = {"model": str(world), "max_steps": 12}
    mine = DreamVectorEnv(3, autoreset_mode=mode, **how)
    theirs = SyncVectorEnv([lambda: DreamEnv(**how)] * 3, autoreset_mode=mode)
    first, second = mine.reset(seed=5), theirs.reset(seed=5)
    close(first[0], second[0])
    close(within(first[1]), within(second[1]))
    ends = 0
    for action in actions(40, 3):
        ours, others = mine.step(action), theirs.step(action)
        for a, b in zip(ours[:4], others[:4], strict=True):
            close(a, b)
        close(within(ours[4]), within(others[4]))
        done = ours[2] | ours[3]
        ends += int(done.sum())
        if mode is AutoresetMode.DISABLED and done.any():
            fresh = mine.reset(options={"reset_mask": done})
            other = theirs.reset(options={"reset_mask": done})
            close(fresh[0], other[0])
            close(within(fresh[1]), within(other[1]))
    assert ends > 3


def test_a_dream_is_the_same_in_any_batch(world: Path) -> None:
    large = DreamVectorEnv(6, model=world, termination="threshold")
    small = DreamVectorEnv(2, model=world, termination="threshold")
    large.reset(seed=[3, 4, 5, 6, 7, 8])
    small.reset(seed=[8, 5])
    for action in actions(15, 6):
        a, b = large.step(action), small.step(action[[5, 2]])
        np.testing.assert_allclose(a[0]["state"][[5, 2]], b[0]["state"], atol=1e-3)
        np.testing.assert_allclose(a[1][[5, 2]], b[1], atol=1e-3)


def test_a_seed_fixes_everything_bit_for_bit(world: Path) -> None:
    def drive(env: DreamVectorEnv, seed: int) -> list[Any]:
        rows = [env.reset(seed=seed)[0]["state"]]
        for action in actions(20, 4):
            observation, reward, terminated, _, info = env.step(action)
            rows += [observation["image"], observation["state"], reward, terminated, info["cause"]]
        return rows

    env = DreamVectorEnv(4, model=world)
    first, other, again = drive(env, 1), drive(env, 2), drive(env, 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_reset_without_a_seed_goes_on_to_another_episode(world: Path) -> None:
    env = DreamEnv(model=world)
    env.reset(seed=7)
    starts = [env.reset()[1]["context"] for _ in range(12)]
    env.reset(seed=7)
    assert [env.reset()[1]["context"] for _ in range(12)] == starts
    assert len(set(starts)) > 1


def test_terminations_come_as_often_as_predicted_and_by_their_cause() -> None:
    model = tiny_model()
    for member in model.heads.members:
        member[-1].weight.zero_()
        member[-1].bias.zero_()
        member[-1].bias[-len(TERMINATION_CAUSES) - 1] = 2.0
        member[-1].bias[-1] = 1.0
    none, last = np.exp(2.0), np.exp(1.0)
    total = none + last + len(TERMINATION_CAUSES) - 1
    env = DreamVectorEnv(64, model=model, contexts=tiny_contexts(), observations="latent",
                         autoreset_mode="SameStep")  # fmt: skip
    env.reset(seed=0)
    causes: list[str] = []
    for action in actions(40, 64):
        _, _, terminated, _, info = env.step(action)
        causes += list(info["final_info"]["cause"][terminated])
    assert len(causes) / (40 * 64) == pytest.approx(1.0 - none / total, abs=0.03)
    share = causes.count(TERMINATION_CAUSES[-1]) / len(causes)
    assert share == pytest.approx(last / (total - none), abs=0.04)


def test_a_threshold_ends_above_one_half_only_and_before_time_does() -> None:
    model = tiny_model()
    for bias, ends in ((0.0, True), (4.0, False)):
        for member in model.heads.members:
            member[-1].weight.zero_()
            member[-1].bias.zero_()
            member[-1].bias[-len(TERMINATION_CAUSES) - 1] = bias
            member[-1].bias[-2] = 1.0
        for limit in (1, 9):
            env = DreamEnv(
                model=model, contexts=tiny_contexts(), termination="threshold", max_steps=limit
            )
            env.reset(seed=0)
            _, _, terminated, truncated, info = env.step(np.zeros(2, np.float32))
            is_late = limit == 1 and not ends
            assert (terminated, truncated) == (ends, is_late)
            cause = "time_limit" if is_late else ""
            assert info["cause"] == (TERMINATION_CAUSES[-2] if ends else cause)


def test_time_is_a_truncation(world: Path) -> None:
    env = DreamEnv(model=world, max_steps=3, termination="threshold")
    env.reset(seed=0)
    ends = [env.step(np.zeros(2, np.float32)) for _ in range(3)]
    assert [e[3] for e in ends] == [False, False, True]
    assert [e[2] for e in ends] == [False] * 3
    assert ends[-1][4]["cause"] == "time_limit"
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(2, np.float32))


def test_an_uncertain_dream_is_cut_short(world: Path) -> None:
    env = DreamEnv(model=world, uncertainty_limit=0.0, termination="threshold")
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step(np.zeros(2, np.float32))
    assert (terminated, truncated, info["cause"]) == (False, True, "uncertain")
    assert info["uncertainty"] > 0.0


def test_a_start_is_the_context_that_was_asked_for(world: Path) -> None:
    contexts = tiny_contexts()
    env = DreamVectorEnv(3, model=world)
    observation, info = env.reset(seed=0, options={"context": [4, 0, 2]})
    np.testing.assert_array_equal(observation["image"], contexts.image[[4, 0, 2], -1])
    np.testing.assert_array_equal(observation["state"], contexts.vector[[4, 0, 2], -1])
    assert info["context"].tolist() == [4, 0, 2]
    for wrong in (NUM_CONTEXTS, -1, [0, 1], 0.5):
        with pytest.raises(ConfigError, match="no start context"):
            env.reset(options={"context": wrong})


def test_a_clip_given_is_a_context(world: Path) -> None:
    contexts = tiny_contexts()
    env = DreamEnv(model=world)
    clip = {
        "image": contexts.image[1], "state": contexts.vector[1], "action": contexts.action[1],
    }  # fmt: skip
    env.reset(seed=3, options={"context": 1})
    stored = env.step(np.zeros(2, np.float32))[0]
    _, info = env.reset(seed=3, options={"clip": clip})
    given = env.step(np.zeros(2, np.float32))[0]
    close(stored, given)
    assert info["context"] == -1


def test_a_single_frame_is_enough_to_dream(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "bare")
    contexts = tiny_contexts()
    env = DreamEnv(model=tmp_path / "bare")
    frame = {"image": contexts.image[0, 0], "state": contexts.vector[0, 0]}
    observation, _ = env.reset(seed=0, options=frame)
    np.testing.assert_array_equal(observation["image"], frame["image"])
    moved = env.step(np.array([0.5, 1.0], np.float32))[0]
    assert not np.array_equal(moved["state"], frame["state"])
    with pytest.raises(CheckpointError, match="no start contexts"):
        env.reset(seed=0)


@pytest.mark.parametrize(
    "options",
    [
        {"kontext": 1}, {"image": np.zeros((64, 64, 3), np.uint8)}, {"state": np.zeros(14)},
        {"clip": 3}, {"clip": {"image": np.zeros((2, 64, 64, 3), np.uint8)}},
        {"image": np.zeros((64, 64, 3), np.uint8), "state": np.zeros(9, np.float32)},
        {"image": np.zeros((64, 64, 3), np.float32), "state": np.zeros(14, np.float32)},
        {"context": 0, "clip": {}}, {"reset_mask": [True, True]},
        {"reset_mask": np.array([False])},
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_refused(world: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DreamEnv(model=world).reset(seed=0, options=options)


@pytest.mark.parametrize(
    "action",
    [
        np.array([np.nan, 0.0]), np.array([0.0, 1.1]), np.zeros(3), "left", np.array([np.inf, 0.0]),
        torch.tensor([0.0, -2.0]),
    ],
)  # fmt: skip
def test_actions_that_mean_nothing_are_refused_and_change_nothing(world: Path, action: Any) -> None:
    env = DreamEnv(model=world, termination="threshold")
    env.reset(seed=0)
    clean = env.step(np.zeros(2, np.float32))
    env.reset(seed=0)
    with pytest.raises(ActionError):
        env.step(action)
    close(env.step(np.zeros(2, np.float32))[0], clean[0])


@pytest.mark.parametrize(
    "how",
    [
        {"num_steps": 0}, {"max_steps": 0}, {"observations": "depth"}, {"termination": "never"},
        {"render_mode": "ansi"}, {"num_envs": 2}, {"autoreset_mode": "NextStep"},
    ],
)  # fmt: skip
def test_arguments_that_are_impossible_are_refused(world: Path, how: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DreamEnv(model=world, **how)


def test_a_model_that_is_not_there_is_a_checkpoint_error() -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        DreamEnv(model="nowhere")
    with pytest.raises(ConfigError, match="autoreset_mode"):
        DreamVectorEnv(2, model=tiny_model(), autoreset_mode="Sometimes")


def test_latent_observations_are_the_models_latents(world: Path) -> None:
    env = DreamVectorEnv(2, model=world, observations="latent")
    observation, _ = env.reset(seed=0)
    assert observation["latent"].shape == (2, 4, 8, 8)
    observation, *_ = env.step(actions(1, 2)[0])
    np.testing.assert_array_equal(observation["latent"], env.state.latent_BCHW.numpy())
    assert observation in env.observation_space
    assert env.render() is None


def test_tensors_on_request(world: Path) -> None:
    env = DreamVectorEnv(2, model=world, as_torch=True, autoreset_mode="SameStep", max_steps=4)
    twin = DreamVectorEnv(2, model=world, autoreset_mode="SameStep", max_steps=4)
    env.reset(seed=0)
    twin.reset(seed=0)
    for action in actions(9, 2):
        ours, theirs = env.step(torch.from_numpy(action)), twin.step(action)
        assert isinstance(ours[1], torch.Tensor)
        np.testing.assert_array_equal(ours[0]["image"].numpy(), theirs[0]["image"])
        np.testing.assert_array_equal(ours[2].numpy(), theirs[2])
        names = np.array(["", *TERMINATION_CAUSES, "time_limit", "uncertain"], dtype=object)
        assert (names[ours[4]["cause_index"].numpy()] == theirs[4]["cause"]).all()
    weight = torch.ones(14, requires_grad=True)
    (ours[0]["state"] * weight).sum().backward()
    torch.testing.assert_close(weight.grad, ours[0]["state"].sum(0))


def test_the_first_image_is_kept_when_the_dream_goes_on(world: Path) -> None:
    env = DreamEnv(model=world)
    first, _ = env.reset(seed=0)
    before = first["image"].copy()
    env.step(np.ones(2, np.float32))
    np.testing.assert_array_equal(first["image"], before)


def test_states_do_not_grow(world: Path) -> None:
    env = DreamVectorEnv(2, model=world, observations="latent")
    env.reset(seed=0)

    def sizes() -> list[tuple[int, ...]]:
        shapes: list[tuple[int, ...]] = []
        env.state.map(lambda x: shapes.append((*x.shape, x.untyped_storage().nbytes())) or x)
        return shapes

    action = actions(1, 2)[0]
    env.step(action)
    first = sizes()
    for _ in range(300):
        env.step(action)
    assert sizes() == first


def test_a_dream_reacts_to_its_action(world: Path) -> None:
    env = DreamEnv(model=world)
    seen = []
    for steer in (-1.0, 1.0):
        env.reset(seed=1)
        seen.append(env.step(np.array([steer, 0.0], np.float32))[0]["state"])
    assert not np.allclose(seen[0], seen[1], atol=1e-4)
    assert seen[0][STATE_INDEX["speed_limit"]] >= 0.0
