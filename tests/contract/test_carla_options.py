"""What `reset(options=)` of `CarlaDrive-v0` fixes, against the embedded server."""

import numpy as np
import pytest

pytest.importorskip("carla")
from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.env import CarlaDriveEnv
from dreamdrive.envs.carla.routes import random_route
from dreamdrive.errors import ConfigError


@pytest.fixture(scope="module")
def env():
    with CarlaDriveEnv(num_vehicles=4, num_walkers=1) as made:
        yield made


def driven(env, decisions=30, **reset):
    """Returns everything that a drive of the expert showed."""
    observation, info = env.reset(**reset)
    shown = [(observation, 0.0, info)]
    for _ in range(decisions):
        observation, reward, terminated, truncated, info = env.step(env.expert_action())
        shown.append((observation, reward, info))
        if terminated or truncated:
            break
    return shown


def assert_same(first, second):
    assert len(first) == len(second)
    for (a, reward, info), (b, other_reward, other_info) in zip(first, second, strict=True):
        assert reward == other_reward
        assert info == other_info
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "weather": {"preset": "HardRainNight", "fog_density": 12.5},
            "traffic": {"vehicles": 6, "walkers": 3, "seed": 99},
            "route": "Dream01-20-001",
        },
        {"scenario": "HardBreakRoute", "start_speed_mps": 4.0},
    ],
)
def test_the_setup_of_an_episode_repeats_it_to_the_last_bit(env, options):
    first = driven(env, seed=11, options=options)
    driven(env, 4, seed=12)
    setup = first[0][2]["setup"]
    assert setup["seed"] == 11
    assert setup["town"] == "Dream01"
    env.set_traffic(1, 0)
    try:
        assert_same(first, driven(env, options=setup))
    finally:
        env.set_traffic(4, 1)


def test_the_seeds_of_an_episode_without_a_seed_are_told(env):
    env.reset(seed=5)
    first = driven(env, 10)
    assert_same(first, driven(env, 10, options=first[0][2]["setup"]))
    assert_same(first, driven(env, 10, seed=first[0][2]["setup"]["seed"]))


def test_the_traffics_seed_moves_the_traffic_alone(env):
    setups, scenes = [], []
    for seed in (1, 2):
        _, info = env.reset(seed=3, options={"traffic": {"seed": seed}})
        setups.append(info["setup"])
        scenes.append(env.privileged())
    assert setups[0] | {"traffic": None} == setups[1] | {"traffic": None}
    assert scenes[0].ego == scenes[1].ego
    assert not np.array_equal(scenes[0].boxes, scenes[1].boxes)


def test_weather_and_counts_are_those_of_the_world(env):
    _, info = env.reset(
        seed=1, options={"weather": "MidRainyNoon", "traffic": {"vehicles": 2, "walkers": 1}}
    )
    assert env.session.world.get_weather() == carla.WeatherParameters.MidRainyNoon
    actors = env.session.world.get_actors()
    cars = [a for a in actors.filter("vehicle.*") if a.attributes["role_name"] == "autopilot"]
    assert info["spawned"] == {"vehicles": len(cars), "walkers": len(actors.filter("walker.*"))}
    assert len(cars) == 2


def test_a_refused_reset_leaves_the_server_alone(env):
    env.reset(seed=1)
    starts, pid = env.supervisor.num_starts, env.supervisor.pid
    with pytest.raises(ConfigError, match=r"no town 'Atlantis'.*Dream01"):
        env.reset(options={"town": "Atlantis"})
    with pytest.raises(ConfigError, match="given twice"):
        env.reset(seed=1, options={"seed": 2})
    with pytest.raises(ConfigError, match="lies in Dream01"):
        env.reset(options={"town": "Dream02", "route": random_route(env.session.map, 1)})
    env.reset(seed=1)
    assert (env.supervisor.num_starts, env.supervisor.pid) == (starts, pid)
