"""`CarlaDrive-v0` in several processes, each with a server of its own.

The programs run by themselves, as a user's would: a worker is forked, and this process has threads
of other tests' clients.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("carla")

SAME = '''
import sys
import gymnasium as gym
import numpy as np

HOW = {"num_vehicles": 2, "max_steps": 8, "observation": "bev+objects", "actions": "discrete"}
STEPS = 14


def alone(seed):
    """Returns what one environment shows, going on after the end of its episode."""
    env = gym.make("dreamdrive:CarlaDrive-v0", **HOW)
    observation, info = env.reset(seed=seed)
    shown, is_over = [(observation, 0.0, info["route"], info["setup"]["seed"])], False
    for _ in range(STEPS):
        if is_over:
            observation, info = env.reset()
            reward, is_over, setup = 0.0, False, info["setup"]["seed"]
        else:
            observation, reward, terminated, truncated, info = env.step(15)
            is_over, setup = terminated or truncated, None
        shown.append((observation, reward, info["route"], setup))
    env.close()
    return shown


if __name__ == "__main__":
    envs = gym.make_vec(
        "dreamdrive:CarlaDrive-v0", num_envs=2, vectorization_mode="async",
        vector_kwargs={"context": sys.argv[1]}, **HOW,
    )
    observation, info = envs.reset(seed=3)
    pids = envs.get_attr("server_pid")
    assert len(set(pids)) == 2, pids
    together = [(observation, np.zeros(2), info["route"], info["setup"]["seed"])]
    for _ in range(STEPS):
        observation, reward, _, _, info = envs.step(np.array([15, 15]))
        seeds = info.get("setup", {}).get("seed", [None, None])
        together.append((observation, reward, info["route"], seeds))
    processes = list(envs.processes)
    envs.close()
    assert [process.exitcode for process in processes] == [0, 0]
    begun = 0
    for i, seed in enumerate((3, 4)):
        for (a, reward, route, setup), (b, rewards, routes, seeds) in zip(alone(seed), together):
            for name in a:
                np.testing.assert_array_equal(a[name], b[name][i])
            assert (reward, route) == (rewards[i], routes[i])
            if setup is not None:
                assert setup == seeds[i]
                begun += 1
    assert begun == 4
    print(*pids)
'''

KILLED = """
import os
import signal
import gymnasium as gym
import numpy as np

if __name__ == "__main__":
    envs = gym.make_vec(
        "dreamdrive:CarlaDrive-v0", num_envs=2, vectorization_mode="async", num_vehicles=1,
        tick_deadline_s=1.0,
    )
    envs.reset(seed=3)
    pids = envs.get_attr("server_pid")
    actions = np.array([[0.0, 0.3]] * 2, np.float32)
    others = [envs.step(actions)[1][1]]
    os.kill(pids[0], signal.SIGKILL)
    ends = []
    for _ in range(8):
        observation, reward, terminated, truncated, info = envs.step(actions)
        others.append(reward[1])
        assert not terminated.any() and not truncated[1] and info["sim_error"][1] is None
        assert envs.observation_space.contains(observation)
        if truncated[0]:
            assert (info["cause"][0], reward[0]) == ("sim_error", 0.0)
            assert "server" in info["sim_error"][0]
        ends.append(bool(truncated[0]))
    assert sum(ends) == 1, ends
    assert min(others) > 0.0, others
    fresh = envs.get_attr("server_pid")
    assert fresh[0] != pids[0] and fresh[1] == pids[1]
    processes = list(envs.processes)
    envs.close()
    assert [process.exitcode for process in processes] == [0, 0]
    print(*pids, *fresh)
"""


def servers_of(program: str, tmp_path: Path, *arguments: str) -> list[int]:
    """Runs a program and returns the process ids of the servers that it prints."""
    file = tmp_path / "program.py"
    file.write_text(program)
    done = subprocess.run(
        [sys.executable, str(file), *arguments],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_each_environment_drives_as_it_would_alone(context, tmp_path):
    pids = servers_of(SAME, tmp_path, context)
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_killed_server_costs_one_episode_of_one_environment(tmp_path):
    pids = servers_of(KILLED, tmp_path)
    assert len(pids) == 4
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


RUNNING = """
import gymnasium as gym
import numpy as np
from dreamdrive.envs.carla.server_pool import ServerPool

if __name__ == "__main__":
    with ServerPool(2) as pool:
        pool.start(["Dream01", "Dream01"])
        ports = [server.port for server in pool.servers]
        envs = gym.make_vec(
            "dreamdrive:CarlaDrive-v0", num_envs=2, vectorization_mode="async", num_vehicles=0,
            port=ports,
        )
        envs.reset(seed=3)
        envs.step(np.zeros((2, 2), np.float32))
        one_more = gym.make("dreamdrive:CarlaDrive-v0", port=ports)
        try:
            one_more.reset()
        except RuntimeError as error:
            assert "All 2 servers are taken" in str(error), error
        else:
            raise AssertionError("three environments share two servers")
        envs.close()
        one_more.reset()
        one_more.close()
        print(*[server.pid for server in pool.servers])
"""


@pytest.mark.slow
def test_servers_that_run_already_are_lent_to_one_environment_each(tmp_path):
    assert len(servers_of(RUNNING, tmp_path)) == 2
