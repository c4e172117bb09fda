"""Gymnasium's and Stable-Baselines3's checkers over the ids of CARLA and their options."""

import warnings

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

pytest.importorskip("carla")
from dreamdrive.envs.registration import register_envs

CASES = [
    ("CarlaDrive-v0", {}),
    ("CarlaDrive-v0", {"actions": "discrete", "reward": "roach"}),
    pytest.param(
        "CarlaDrive-v0", {"observation": ["bev", "objects"], "reward": "think2drive"},
        marks=pytest.mark.slow,
    ),
    ("CarlaDriveObjects-v0", {}),
    pytest.param(
        "CarlaDriveObjects-v0", {"actions": "discrete", "infractions_end_episode": False},
        marks=pytest.mark.slow,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), CASES)
def test_both_checkers_are_content(name, options):
    register_envs()
    env = gym.make(name, num_vehicles=1, num_walkers=1, **options)
    try:
        check_env(env.unwrapped, skip_render_check=True)
        checker = pytest.importorskip("stable_baselines3.common.env_checker")
        with warnings.catch_warnings():
            # Tokens are rows, which Stable-Baselines3 flattens.
            warnings.filterwarnings("ignore", "Your observation .* has an unconventional shape")
            checker.check_env(env)
    finally:
        env.close()


def test_what_is_rendered_passes_the_checker_too():
    register_envs()
    env = gym.make("CarlaDriveObjects-v0", num_vehicles=0, render_mode="rgb_array")
    try:
        check_env(env.unwrapped)
    finally:
        env.close()
