"""The adapters' environment over a simulator with known dynamics."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dreamdrive.driving.palette import PALETTE
from dreamdrive.driving.state import EGO_PIXEL, METRES_PER_PIXEL
from dreamdrive.envs.roads.env import RoadsEnv, Rules, acceleration_of, curvature_of
from dreamdrive.envs.spaces import driving_action_space, driving_observation_space
from dreamdrive.errors import ActionError, ConfigError
from support.toy_roads import ToyRoads


def env_of(simulator, **fields):
    told = {"reward": "route_completion", "rules": Rules(max_steps=200), "render_mode": None}
    return RoadsEnv(simulator, "toy", **(told | fields))


def drive(env, action, seed=0):
    env.reset(seed=seed)
    rewards = []
    while True:
        _, reward, terminated, truncated, info = env.step(np.asarray(action, np.float32))
        rewards.append(reward)
        if terminated or truncated:
            return rewards, terminated, truncated, info


def test_it_has_the_spaces_of_carla_drive_and_passes_the_checker():
    env = env_of(ToyRoads(), render_mode="rgb_array")
    assert env.observation_space == driving_observation_space()
    assert env.action_space == driving_action_space()
    check_env(env, skip_render_check=True)


def test_a_route_that_is_driven_to_its_end_is_truncated_and_pays_its_metres():
    rewards, terminated, truncated, info = drive(env_of(ToyRoads()), [0.0, 0.3])
    assert (info["cause"], terminated, truncated) == ("route_finished", False, True)
    # Below the limit of 10 m/s, which is reached at about 37 m, a metre is worth a hundredth.
    assert sum(rewards[:50]) == pytest.approx(0.5 * 1.35 * 5.0**2 / 100.0, rel=0.03)


def test_contacts_the_verge_standing_and_time_end_it_by_their_causes():
    def end(simulator, action, **rules):
        _, terminated, truncated, info = drive(env_of(simulator, rules=Rules(**rules)), action)
        return info["cause"], terminated, truncated

    assert end(ToyRoads(30.0), [0.0, 0.5]) == ("collision_vehicle", True, False)
    assert end(ToyRoads(), [0.5, 0.5]) == ("off_road", True, False)
    assert end(ToyRoads(), [0.0, -1.0], blocked_s=3.0) == ("blocked", False, True)
    assert end(ToyRoads(), [0.0, 0.01], max_steps=20) == ("time_limit", False, True)


def test_an_infraction_costs_one():
    rewards, *_ = drive(env_of(ToyRoads(30.0)), [0.0, 0.5])
    assert rewards[-1] == -1.0
    assert min(rewards[:-1]) > 0.0


def test_the_view_shows_lane_route_ego_and_the_car_where_they_are():
    env = env_of(ToyRoads(18.5))
    observation, _ = env.reset(seed=0)
    image, ego_x = observation["image"], env._simulator.x

    def colour(ahead_m, left_m):
        row = round(EGO_PIXEL[1] - ahead_m / METRES_PER_PIXEL)
        return tuple(image[row, round(EGO_PIXEL[0] - left_m / METRES_PER_PIXEL)])

    assert colour(0.0, 0.0) == PALETTE["ego"]
    assert colour(18.5 - ego_x, 0.0) == PALETTE["vehicle"]
    assert colour(10.0, 0.0) == PALETTE["route"]
    assert colour(10.0, 6.0) == PALETTE["outside"]
    right = np.array([colour(ahead, -1.75) for ahead in np.arange(4.0, 12.0, 0.75)], int)
    assert (right.min(0) > np.add(PALETTE["road"], 15)).all(), "its edge is a solid mark"


def test_left_is_positive_and_the_brake_does_not_drive_back():
    simulator = ToyRoads()
    env = env_of(simulator)
    env.reset(seed=0)
    for action in ([0.5, 0.5], [-0.5, 0.5], [0.0, -1.0], [0.0, -1.0]):
        env.step(np.array(action, np.float32))
    curvature, acceleration = np.array(simulator.driven).T
    assert curvature[0] > 0.15 > -0.15 > curvature[1]
    assert acceleration[:2] == pytest.approx([2.25, 2.25])
    assert simulator.speed == pytest.approx(0.0, abs=1e-9)
    assert acceleration[3] == pytest.approx(0.0, abs=1e-9)


def test_fast_cars_turn_no_sharper_than_their_tyres_grip():
    assert curvature_of(1.0, 0.0) == pytest.approx(np.tan(1.1) / 2.9)
    assert curvature_of(1.0, 20.0) * 20.0**2 == pytest.approx(7.8)
    assert curvature_of(-1.0, 20.0) == -curvature_of(1.0, 20.0)
    assert acceleration_of(-1.0, 5.0) == -8.0


def test_the_seed_fixes_the_episode():
    env = env_of(ToyRoads())
    starts = [env.reset(seed=seed)[0]["state"] for seed in (3, 4, 3)]
    assert (starts[0] == starts[2]).all()
    first = env.reset(seed=3)[1]["progress_m"]
    assert env.reset(seed=4)[1]["progress_m"] != first


def test_wrong_arguments_and_actions_are_refused():
    with pytest.raises(ConfigError, match="no reward 'much'"):
        env_of(ToyRoads(), reward="much")
    with pytest.raises(ConfigError, match="no render mode"):
        env_of(ToyRoads(), render_mode="human")
    env = env_of(ToyRoads())
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(2, np.float32))
    env.reset(seed=0)
    with pytest.raises(ActionError):
        env.step(np.array([0.0, np.nan], np.float32))
