"""What comes with the package: the world model, its start contexts and the agent."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from dreamdrive.agents import artefact
from dreamdrive.agents.artefact import DreamPolicy, find_policy, load_policy
from dreamdrive.driving.state import STATE_FIELDS
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.worldmodel import model as worldmodel
from dreamdrive.worldmodel.model import find_checkpoint

NUM_ENVS, STEPS = 64, 15
RACING = "carracing-cpu"
SPEED, YAW_RATE = (
    next(i for i, field in enumerate(STATE_FIELDS) if field.name == name)
    for name in ("speed", "yaw_rate")
)


def folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def dreams() -> dict[str, dict[str, np.ndarray]]:
    """State and survival after 1.5 s of one action from each of the shipped contexts."""
    actions = {
        "coast": (0.0, 0.0), "throttle": (0.0, 0.6), "brake": (0.0, -1.0),
        "left": (0.15, 0.2), "right": (-0.15, 0.2),
    }  # fmt: skip
    found = {}
    for name, action in actions.items():
        env = DreamVectorEnv(
            NUM_ENVS, observations="latent", termination="threshold", as_torch=True,
            autoreset_mode=gym.vector.AutoresetMode.DISABLED,
        )  # fmt: skip
        env.reset(seed=0)
        state, survival = env.state.clone(), torch.ones(NUM_ENVS)
        start = state.vector_BK
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for _ in range(STEPS):
                state, seen = env.model.imagine_step(
                    state, torch.tensor(action).expand(NUM_ENVS, 2), generator=generator
                )
                survival = survival * (1.0 - seen.termination_BC.sum(1))
        found[name] = {
            "start": start.numpy(), "end": state.vector_BK.numpy(), "survival": survival.numpy(),
        }  # fmt: skip
    return found


def test_the_pedal_and_the_wheel_do_what_they_do_in_a_car(dreams) -> None:
    start, end = dreams["brake"]["start"][:, SPEED], dreams["brake"]["end"][:, SPEED]
    moving = start > 3.0
    assert moving.sum() > 20
    assert (end[moving] < start[moving] - 2.0).mean() > 0.9
    throttle, coast = (dreams[name]["end"][:, SPEED] for name in ("throttle", "coast"))
    assert (throttle > coast + 0.5).mean() > 0.9
    left, right = (dreams[name]["end"][:, YAW_RATE] for name in ("left", "right"))
    assert (left > right).mean() > 0.9


def test_braking_is_not_taken_for_the_cause_of_what_drivers_brake_for(dreams) -> None:
    risk = {name: float((1.0 - dream["survival"]).mean()) for name, dream in dreams.items()}
    assert risk["brake"] < 0.15
    assert risk["brake"] < risk["throttle"]


def test_what_ships_is_small() -> None:
    folders = [find_checkpoint(worldmodel.DEFAULT), find_policy(artefact.DEFAULT)]
    assert sum(map(folder_size, folders)) <= 8 * 2**20


def test_the_shipped_race_car_has_the_spaces_of_its_environment_and_drives() -> None:
    assert folder_size(find_checkpoint(RACING)) <= 4 * 2**20
    actor, model = load_policy(f"{RACING}-agent")
    env = DreamVectorEnv(NUM_ENVS, model=RACING)
    assert env.single_observation_space == gym.spaces.Box(0, 255, (96, 96, 3), np.uint8)
    assert env.single_action_space == gym.spaces.Box(
        np.float32([-1.0, 0.0, 0.0]), np.float32([1.0, 1.0, 1.0])
    )
    gained = {}
    for name, act in (
        ("agent", lambda state: actor(state.seen, state.vector_BK).mode),
        ("standing", lambda state: torch.tensor([0.0, -1.0, 1.0]).expand(NUM_ENVS, 3)),
        ("full throttle", lambda state: torch.tensor([0.0, 1.0, -1.0]).expand(NUM_ENVS, 3)),
    ):
        env.reset(seed=0)
        state, gained[name] = env.state.clone(), 0.0
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for _ in range(4 * STEPS):
                state, seen = model.imagine_step(state, act(state), generator=generator)
                gained[name] += float(seen.reward_B.mean()) * model.config.reward_scale
    assert gained["standing"] < 0.0
    assert gained["agent"] > 100.0
    assert gained["agent"] > gained["full throttle"] + 50.0


def test_the_shipped_agent_drives_and_survives_where_constant_throttle_does_not() -> None:
    policy = DreamPolicy.load()
    with torch.no_grad():
        env = DreamVectorEnv(NUM_ENVS, observations="latent", as_torch=True)
        env.reset(seed=1)
        lived, moves = {}, {}
        for name in ("agent", "throttle"):
            state, survival = env.state.clone(), torch.ones(NUM_ENVS)
            generator = torch.Generator().manual_seed(0)
            for _ in range(2 * STEPS):
                action = policy.actor(state.seen, state.vector_BK).mode
                if name == "throttle":
                    action = torch.tensor([0.0, 0.5]).expand_as(action)
                state, seen = env.model.imagine_step(state, action, generator=generator)
                survival = survival * (1.0 - seen.termination_BC.sum(1))
            lived[name], moves[name] = (
                float(survival.mean()),
                float(state.vector_BK[:, SPEED].mean()),
            )
    assert lived["agent"] > 0.8
    assert lived["agent"] > lived["throttle"] + 0.2
    assert moves["agent"] > 2.0
