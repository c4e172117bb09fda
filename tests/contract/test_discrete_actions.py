"""The grid of actions is one and the same in CARLA and in the dream."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

pytest.importorskip("carla")
from dreamdrive.driving.actions import DISCRETE_ACTIONS, NUM_DISCRETE_ACTIONS, nearest_choice
from dreamdrive.envs.carla.env import CarlaDriveEnv
from dreamdrive.envs.dream.env import DreamEnv
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.errors import ActionError, ConfigError


@pytest.fixture(scope="module")
def choosing():
    with CarlaDriveEnv(num_vehicles=2, actions="discrete") as made:
        yield made


def shown(env, actions, seed=4):
    observation, _ = env.reset(seed=seed)
    steps = [observation]
    for action in actions:
        observation, *_ = env.step(action)
        steps.append(observation)
    return steps


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])
        np.testing.assert_array_equal(a["state"], b["state"])


def test_a_choice_in_carla_is_its_row_of_the_grid(choosing):
    choices = [15, 15, 19, 11, 15, 12]
    with CarlaDriveEnv(num_vehicles=2) as steering:
        assert_same(shown(choosing, choices), shown(steering, DISCRETE_ACTIONS[choices]))


def test_a_choice_in_the_dream_is_its_row_of_the_grid():
    choices = [15, 15, 23, 7, 12]
    with DreamEnv(actions="discrete") as choosing, DreamEnv() as steering:
        assert_same(shown(choosing, choices), shown(steering, DISCRETE_ACTIONS[choices]))


def test_many_dreams_take_a_choice_each():
    choices = np.array([0, 13, 27])
    choosing = DreamVectorEnv(3, actions="discrete")
    steering = DreamVectorEnv(3)
    choosing.reset(seed=1)
    steering.reset(seed=1)
    assert choosing.action_space == gym.spaces.MultiDiscrete([28, 28, 28])
    for given in (choices, torch.from_numpy(choices)):
        a = choosing.step(given)[0]
        b = steering.step(DISCRETE_ACTIONS[choices])[0]
        np.testing.assert_array_equal(a["image"], b["image"])
    with pytest.raises(ActionError, match="no discrete action"):
        choosing.step(np.array([0, 1, 28]))
    choosing.close()
    steering.close()


def test_both_have_the_same_space_and_content_gymnasiums_checker(choosing):
    with DreamEnv(actions="discrete") as dream:
        assert dream.action_space == choosing.action_space == gym.spaces.Discrete(28)
        assert dream.observation_space == choosing.observation_space
        check_env(dream, skip_render_check=True)
    check_env(choosing, skip_render_check=True)


def test_an_expert_that_may_only_choose_still_arrives(choosing):
    _, info = choosing.reset(seed=31)
    widest_m = 0.0
    while not info["cause"]:
        choice = nearest_choice(choosing.expert_action())
        observation, _, _, _, info = choosing.step(choice)
        widest_m = max(widest_m, abs(float(observation["state"][2])))
    assert info["cause"] == "route_finished"
    assert widest_m < 1.2


def test_what_is_no_choice_is_refused(choosing):
    choosing.reset(seed=1)
    for action in (NUM_DISCRETE_ACTIONS, -1, [0.0, 0.3]):
        with pytest.raises(ActionError, match="discrete action"):
            choosing.step(action)
    with pytest.raises(ConfigError, match="no actions 'spoken'"):
        CarlaDriveEnv(actions="spoken")
    with pytest.raises(ConfigError, match="no actions 'spoken'"):
        DreamEnv(actions="spoken")
