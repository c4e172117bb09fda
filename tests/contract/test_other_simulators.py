"""highway-env and MetaDrive with the spaces of `CarlaDrive-v0`, where they are installed."""

import importlib.util
import json
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.envs.roads.env import FULL_STEER_RAD, WHEELBASE_M
from dreamdrive.envs.roads.line import wrapped
from dreamdrive.errors import ConfigError, MissingExtraError
from dreamdrive.experiments.cli import main

HAS_HIGHWAY = importlib.util.find_spec("highway_env") is not None
HAS_METADRIVE = importlib.util.find_spec("metadrive") is not None
highway = pytest.mark.skipif(not HAS_HIGHWAY, reason="highway-env is not installed")
metadrive = pytest.mark.skipif(not HAS_METADRIVE, reason="MetaDrive is not installed")

TARGET, OFFSET = STATE_INDEX["target_1_x"], STATE_INDEX["lateral_offset"]


def pursue(env, seed, *, speed_mps=7.0, steps=400):
    """Steers an arc through the first target at a steady speed; returns what came of it."""
    observation, info = env.reset(seed=seed)
    offsets = []
    for _ in range(steps):
        state = observation["state"]
        x, y = state[TARGET : TARGET + 2]
        steer = np.arctan(2.0 * y / (x * x + y * y) * WHEELBASE_M) / FULL_STEER_RAD
        pedal = 0.3 * (speed_mps - state[0])
        action = np.clip(np.array([steer, pedal], np.float32), -1.0, 1.0)
        observation, _, terminated, truncated, info = env.step(action)
        offsets.append(abs(float(state[OFFSET])))
        if terminated or truncated:
            break
    return info, max(offsets)


@pytest.mark.skipif(HAS_HIGHWAY, reason="highway-env is installed")
def test_without_highway_env_the_extra_is_named():
    with pytest.raises(MissingExtraError, match=r"dreamdrive\[highway\]"):
        gym.make("dreamdrive:HighwayDrive-v0")


@pytest.mark.skipif(HAS_METADRIVE, reason="MetaDrive is installed")
def test_without_metadrive_the_extra_is_named():
    with pytest.raises(MissingExtraError, match=r"dreamdrive\[metadrive\]"):
        gym.make("dreamdrive:MetaDriveDrive-v0")


@highway
@pytest.mark.parametrize("task", ["intersection", "roundabout", "highway", "merge"])
def test_every_road_passes_the_checker(task):
    check_env(gym.make("dreamdrive:HighwayDrive-v0", task=task).unwrapped, skip_render_check=True)


@highway
def test_an_intersections_routes_turn_where_their_command_says():
    env = gym.make("dreamdrive:HighwayDrive-v0")
    commands, turns = set(), set()
    for seed in range(8):
        observation, _ = env.reset(seed=seed)
        told = observation["state"][-3:].argmax()
        route = env.unwrapped._route
        side = {0: 1, 1: 0, 2: -1}[int(told)]
        assert round(wrapped(route.yaw[-1] - route.yaw[0]) / (np.pi / 2)) == side
        commands.add(int(told))
        turns.add(side)
    assert len(commands) > 1


@highway
def test_a_pursuit_of_the_targets_stays_on_the_route_of_an_empty_road():
    from dreamdrive.envs.roads import highway as roads

    task = roads.TASKS["intersection"]
    quiet = (("destination", None), ("spawn_probability", 0.0), ("initial_vehicle_count", 0))
    simulator = roads.HighwaySimulator(
        roads.Task(**{**{f: getattr(task, f) for f in task.__slots__}, "settings": quiet}),
        draws=False,
    )
    env = roads.RoadsEnv(
        simulator, "quiet", reward="route_completion", rules=roads.Rules(), render_mode=None
    )
    for seed in range(4):
        info, furthest = pursue(env, seed, speed_mps=5.0)
        if info["cause"] != "collision_vehicle":  # one challenger is always there
            assert info["cause"] == "route_finished"
            assert furthest < 1.5


@highway
def test_the_shipped_agent_is_evaluated_there_beside_yardsticks(tmp_path):
    out = tmp_path / "out"
    words = ["evaluate", "--env", "dreamdrive:HighwayDrive-v0", "--episodes", "2", "--workers", "1"]
    words += ["--policies", "dreamdrive-cpu-agent", "standing", "straight", "random"]
    assert main([*words, "--max-steps", "80", "--out", str(out)]) == 0
    told = json.loads((out / "summary.json").read_text())["policies"]
    assert set(told) == {"dreamdrive-cpu-agent", "standing", "straight", "random"}
    assert told["dreamdrive-cpu-agent"]["return"] > told["standing"]["return"] - 1.0


@highway
def test_a_road_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="no road 'moon'"):
        gym.make("dreamdrive:HighwayDrive-v0", task="moon")


@metadrive
def test_metadrive_drives_in_a_process_of_its_own():
    # Its engine warns as it starts.
    program = """
import json
import gymnasium as gym
from gymnasium.utils.env_checker import check_env
import dreamdrive
from contract.test_other_simulators import pursue
env = gym.make("dreamdrive:MetaDriveDrive-v0", density=0.0).unwrapped
check_env(env, skip_render_check=True)
one, other = (gym.make("dreamdrive:MetaDriveDrive-v0").unwrapped for _ in range(2))
one.reset(seed=0)
other.reset(seed=0)
try:
    one.step(one.action_space.sample())
except RuntimeError as error:
    assert "reset" in str(error), error
else:
    raise AssertionError("two drive in one engine")
other.close()
print(json.dumps([pursue(env, seed) for seed in range(3)]))
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        cwd=__file__.rpartition("/contract/")[0],
    )  # fmt: skip
    for info, furthest in json.loads(told.stdout.splitlines()[-1]):
        assert info["cause"] in ("", "route_finished")
        assert info["progress_m"] > 150.0
        assert furthest < 1.5
