import dataclasses

import gymnasium as gym
import numpy as np
import pytest

from dreamdrive.config import from_dict, to_dict
from dreamdrive.envs.interface import action_space, observation_space, open_env, read_interface
from dreamdrive.errors import ActionError, ConfigError
from dreamdrive.worldmodel.interface import BLANK, Interface
from support.point_env import ID, PointEnv


def interface_of(observation: gym.Space, action: gym.Space) -> Interface:
    env = PointEnv()
    env.observation_space, env.action_space = observation, action
    return read_interface(env, "Changed-v0", {})


BOX = gym.spaces.Box(-1.0, 1.0, (3,))
SPACES = [
    (BOX, gym.spaces.Box(np.float32([-2, 0]), np.float32([4, 1]))),
    (gym.spaces.Box(-np.inf, np.inf, (2, 2), np.float64), gym.spaces.Discrete(5, start=-2)),
    (gym.spaces.Box(0, 255, (96, 96, 3), np.uint8), gym.spaces.Box(-1.0, 1.0, (1, 2))),
    (gym.spaces.Box(0, 255, (40, 30), np.uint8), gym.spaces.Discrete(2)),
    (
        gym.spaces.Dict({"a": BOX, "b": gym.spaces.Box(0, 9, (2,), np.int64)}),
        gym.spaces.Box(-3, 3, (2,), np.float64),
    ),
    (PointEnv().observation_space, PointEnv().action_space),
]


@pytest.mark.parametrize(("observation", "action"), SPACES)
def test_the_spaces_come_back_as_they_were(observation: gym.Space, action: gym.Space) -> None:
    interface = interface_of(observation, action)
    stored = from_dict(Interface, to_dict(interface))
    assert stored == interface
    assert observation_space(stored) == observation
    assert action_space(stored) == action


@pytest.mark.parametrize(("observation", "action"), SPACES)
def test_actions_go_there_and_back(observation: gym.Space, action: gym.Space) -> None:
    interface = interface_of(observation, action)
    action.seed(0)
    batch = np.stack([action.sample() for _ in range(20)])
    unit = interface.to_unit(batch, 20)
    assert unit.shape == (20, interface.action_size)
    assert unit.dtype == np.float32
    assert np.abs(unit).max() <= 1.0
    back = interface.from_unit(unit)
    np.testing.assert_allclose(back, batch, atol=1e-5)
    assert all(action.contains(value.astype(action.dtype)) for value in back)


@pytest.mark.parametrize(("observation", "action"), SPACES)
def test_observations_go_there_and_back(observation: gym.Space, action: gym.Space) -> None:
    interface = interface_of(observation, action)
    observation.seed(0)
    seen = observation.sample()
    vector = interface.vector(seen)
    image = interface.picture(seen, None, 32)
    assert image.shape == (32, 32, 3)
    assert len(vector) == len(interface.vector_names)
    own = interface.observations(image[None], vector[None])
    first = {k: v[0] for k, v in own.items()} if isinstance(own, dict) else own[0]
    assert observation.contains(first)
    for part in interface.vectors:
        given, made = (x[part.name] if part.name else x for x in (seen, first))
        np.testing.assert_allclose(made, given, rtol=1e-6)


def test_the_bounds_of_an_action_become_one() -> None:
    interface = interface_of(BOX, PointEnv().action_space)
    np.testing.assert_allclose(interface.to_unit(np.float32([[[4.0]]]), 1), [[1.0]])
    np.testing.assert_allclose(interface.to_unit(np.float32([[[1.0]]]), 1), [[0.0]])
    np.testing.assert_allclose(interface.to_unit(np.float32([[[-2.0]]]), 1), [[-1.0]])


def test_a_discrete_action_is_one_in_its_own_entry() -> None:
    interface = interface_of(BOX, gym.spaces.Discrete(3, start=4))
    np.testing.assert_array_equal(interface.to_unit(np.array([5]), 1), [[-1.0, 1.0, -1.0]])
    assert interface.from_unit(np.float32([[0.1, 0.2, -0.9]])).tolist() == [5]


def test_an_environment_without_vectors_has_a_blank_one() -> None:
    interface = interface_of(gym.spaces.Box(0, 255, (9, 9, 3), np.uint8), BOX)
    assert interface.vector_names == (BLANK,)
    assert interface.vector(np.zeros((9, 9, 3), np.uint8)).tolist() == [0.0]


def test_predicted_vectors_are_clipped_to_the_bounds() -> None:
    interface = interface_of(BOX, BOX)
    image = np.zeros((1, 8, 8, 3), np.uint8)
    np.testing.assert_array_equal(
        interface.observations(image, np.float32([[3.0, -0.5, -2.0]])), [[1.0, -0.5, -1.0]]
    )


@pytest.mark.parametrize(
    "action", [np.zeros((1, 2)), np.full((1, 3), np.nan), np.full((1, 3), 1.1), None, "left"]
)
def test_wrong_boxes_are_refused(action: object) -> None:
    with pytest.raises(ActionError):
        interface_of(BOX, BOX).to_unit(action, 1)


@pytest.mark.parametrize("action", [np.array([3]), np.array([-1]), np.array([0.0]), np.array(0)])
def test_wrong_choices_are_refused(action: np.ndarray) -> None:
    with pytest.raises(ActionError):
        interface_of(BOX, gym.spaces.Discrete(3)).to_unit(action, 1)


@pytest.mark.parametrize(
    ("observation", "action", "said"),
    [
        (gym.spaces.Discrete(3), BOX, "Discrete"),
        (gym.spaces.Dict({"a": gym.spaces.Discrete(3)}), BOX, "'a'"),
        (BOX, gym.spaces.MultiDiscrete([2, 2]), "MultiDiscrete"),
        (BOX, gym.spaces.Box(-np.inf, np.inf, (1,)), "no bounds"),
        (gym.spaces.Dict({k: SPACES[2][0] for k in "ab"}), BOX, "two pictures"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    observation: gym.Space, action: gym.Space, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        interface_of(observation, action)


def test_an_environment_is_opened_with_the_pictures_it_has() -> None:
    env, interface = open_env("Pendulum-v1", {"g": 9.0})
    assert (interface.pictures, env.render_mode) == ("render", "rgb_array")
    assert env.unwrapped.g == 9.0
    assert interface.max_steps == 200
    env, interface = open_env("Pendulum-v1", {}, "none")
    assert (interface.pictures, env.render_mode) == ("none", None)
    env, interface = open_env(ID, {"size": 16})
    assert interface.pictures == "observation"
    assert interface.image is not None
    assert interface.image.shape == (16, 32, 1)


def test_an_action_is_held_until_the_decision_or_the_episode_ends() -> None:
    once, _ = open_env(ID, {})
    held, interface = open_env(ID, {}, action_repeat=3)
    assert (interface.action_repeat, interface.max_steps) == (3, 7)
    assert open_env(ID, {})[1].action_repeat == 1
    action = np.float32([[-0.5]])
    for env in (once, held):
        env.reset(seed=0)
    for _ in range(7):
        rewards, ended = [], (False, False)
        while len(rewards) < 3 and not any(ended):
            seen, reward, *ended, _ = once.step(action)
            rewards.append(reward)
        found = held.step(action)
        np.testing.assert_array_equal(found[0]["speed"], seen["speed"])
        assert (found[1], *found[2:4]) == (pytest.approx(sum(rewards)), *ended)
        if any(ended):
            break
    assert any(ended)
    assert len(rewards) < 3
    with pytest.raises(ValueError, match="one step or more"):
        open_env(ID, {}, action_repeat=-1)


@pytest.mark.parametrize(
    ("name", "options", "pictures"),
    [
        ("Nowhere-v0", {}, "auto"),
        ("no_such_module:X-v0", {}, "auto"),
        ("Pendulum-v1", {"weight": 3}, "auto"),
        ("Pendulum-v1", {}, "observation"),
        (ID, {}, "none"),
    ],
)
def test_what_cannot_be_opened_is_refused(name: str, options: dict, pictures: str) -> None:
    with pytest.raises(ConfigError):
        open_env(name, options, pictures)


def test_parts_that_do_not_fit_are_refused() -> None:
    interface = interface_of(BOX, BOX)
    for change in (
        {"vectors": ()}, {"pictures": "observation"}, {"action_low": (1.0,)},
        {"action": "discrete"}, {"action_repeat": 0},
        {"vectors": (dataclasses.replace(interface.vectors[0], low=(0.0,)),)},
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            dataclasses.replace(interface, **change)
