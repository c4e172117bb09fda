"""CARLA's own server, played by a stand-in, with all that goes wrong with it."""

import json
import os
import select
import subprocess
import sys
import time

import pytest

from dreamdrive.envs.carla.env import CarlaDriveEnv
from dreamdrive.envs.carla.process_group import group_memory_mib
from dreamdrive.envs.carla.server_kinds import find_unreal, server_of
from dreamdrive.envs.carla.server_pool import ServerPool
from dreamdrive.envs.carla.supervisor import ServerPhase, ServerSupervisor
from dreamdrive.errors import ConfigError, ServerError, ServerVersionError
from support.unreal import launcher, starts, unreal

WITH_SUPPORT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def group_is_gone(group):
    """Returns whether soon none of a process group holds memory, be it that nobody buried it yet.

    Who leads it ends first, and the kernel takes the others one after the other.
    """
    deadline = time.monotonic() + 20.0
    while group_memory_mib(group) > 0.0 and time.monotonic() < deadline:
        time.sleep(0.05)
    return group_memory_mib(group) == 0.0


def test_it_is_found_by_path_folder_and_environment(tmp_path, monkeypatch):
    path = launcher(tmp_path)
    assert find_unreal(str(path)) == find_unreal(str(tmp_path)) == path
    monkeypatch.setenv("CARLA_ROOT", str(tmp_path))
    assert find_unreal("unreal") == path
    assert str(path) in server_of("unreal").command
    monkeypatch.delenv("CARLA_ROOT")
    with pytest.raises(ConfigError, match="CARLA_ROOT"):
        server_of("unreal")
    with pytest.raises(ConfigError, match=r"no server 'nowhere'.*nowhere"):
        server_of("nowhere")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod"):
        server_of(str(tmp_path))


def test_routes_are_driven_on_it_in_any_town(tmp_path):
    launcher(tmp_path)
    with CarlaDriveEnv(server=str(tmp_path), num_vehicles=2) as env:
        group = env.supervisor.pid
        for town in ("Dream01", "Dream02"):
            env.reset(seed=1, options={"town": town})
            _, _, _, _, info = env.step(env.expert_action())
            assert (info["town"], info["sim_error"]) == (town, None)
        assert starts(tmp_path) == 1
    assert group_is_gone(group)


@pytest.mark.parametrize(
    ("fault", "deadline_s", "words"),
    [
        ("hangs", 0.5, r"not ready within 0\.5 s"),
        ("deaf", 0.5, r"not ready within 0\.5 s"),
        ("crashes", 20.0, "exit code 1 before it was ready.*no Vulkan device"),
    ],
)
def test_one_that_does_not_come_up_is_given_up(tmp_path, fault, deadline_s, words):
    config = unreal(tmp_path, fault, start_attempts=2, start_deadline_s=deadline_s)
    server = ServerSupervisor("", config)
    with pytest.raises(ServerError, match=words):
        server.ensure_ready()
    assert (server.num_starts, server.phase) == (2, ServerPhase.ABSENT)


@pytest.mark.parametrize(
    ("fault", "words"), [("old", r"CARLA 0\.9\.15.*0\.9\.16"), ("babbles", "not speak CARLA")]
)
def test_another_version_is_not_tried_again(tmp_path, fault, words):
    server = ServerSupervisor("", unreal(tmp_path, fault, start_attempts=3))
    with pytest.raises(ServerVersionError, match=words):
        server.ensure_ready()
    assert server.num_starts == 1


DRIVES = """
import json, os, sys
from pathlib import Path
from dreamdrive.envs.carla.env import CarlaDriveEnv
from support.unreal import unreal

faults = ["dies:40", "freezes:40", "leaks:40", "none"]
config = unreal(Path(sys.argv[1]), *faults, memory_limit_mib=600.0, stop_deadline_s=0.3)
told = []
with CarlaDriveEnv(server=config, num_vehicles=1, tick_deadline_s=1.0) as env:
    for _ in faults:
        _, info = env.reset(seed=1)
        assert info["sim_error"] is None
        for _ in range(100):
            _, reward, terminated, truncated, info = env.step(env.action_space.low * 0)
            if info["cause"]:
                break
        told.append([info["cause"], info["sim_error"], terminated, truncated, reward])
    print(json.dumps([told, env.supervisor.num_starts]), flush=True)
    os.killpg(env.supervisor.pid, 9)
os._exit(0)
"""


@pytest.mark.slow
def test_one_that_fails_in_the_middle_costs_one_episode(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DRIVES, str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False, env=WITH_SUPPORT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told, num_starts = json.loads(done.stdout.splitlines()[-1])
    assert num_starts == starts(tmp_path) == 4
    for words, (cause, error, *rest) in zip(
        ("exit code", "alive", "may hold 600"), told[:3], strict=True
    ):
        assert (cause, rest) == ("sim_error", [False, True, 0.0])
        assert words in error
    assert told[3][:2] == ["", None]


def test_it_ends_with_the_process_that_started_it(tmp_path):
    program = (
        "import signal, sys; from pathlib import Path; from support.unreal import unreal; "
        "from dreamdrive.envs.carla.supervisor import ServerSupervisor; "
        "server = ServerSupervisor('', unreal(Path(sys.argv[1]))); server.ensure_ready(); "
        "print(server.pid, flush=True); signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE, text=True, env=WITH_SUPPORT,
    ) as process:  # fmt: skip
        group = int(process.stdout.readline())
        leash = os.pidfd_open(group)
        process.kill()
        process.wait()
        ended, _, _ = select.select([leash], [], [], 20.0)
        os.close(leash)
    assert ended
    assert group_is_gone(group)


def test_a_pool_lends_each_server_once_and_keeps_it_running(tmp_path):
    with ServerPool(2) as pool:
        pool.start(["Dream01", "Dream02"])
        first, second = pool.borrow("Dream02"), pool.borrow("Dream02")
        assert (first.town, second.town) == ("Dream02", "Dream01")
        assert first.port != second.port
        assert abs(first.port - second.port) >= 2
        with pytest.raises(ServerError, match="All 2 servers are lent"):
            pool.borrow("Dream01")
        pool.give_back(second)
        with CarlaDriveEnv(server=pool, num_vehicles=0) as env:
            env.reset(seed=1)
            assert env.supervisor is second
        assert second.phase is ServerPhase.READY
        assert pool.num_starts == 2
        groups = [server.pid for server in pool.servers]
    assert all(map(group_is_gone, groups))
