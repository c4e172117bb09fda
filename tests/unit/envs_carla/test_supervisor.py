import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from dreamdrive.envs.carla.ports import leased_ports
from dreamdrive.envs.carla.process_group import group_memory_mib
from dreamdrive.envs.carla.server_kinds import SupervisorConfig
from dreamdrive.envs.carla.supervisor import ServerPhase, ServerSupervisor
from dreamdrive.errors import ServerError

ANSWERS = "import time; print('ready 127.0.0.1:{port}', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + ANSWERS
HANGS = "import time; print('loading', flush=True); time.sleep(600)"
DIES = "import sys; print('no such town', flush=True); sys.exit(3)"
WITH_CHILD = (
    "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', 'import time; "
    "time.sleep(600)']); print('child', c.pid, flush=True); " + ANSWERS
)


def config(program, **changes) -> SupervisorConfig:
    defaults = {"start_deadline_s": 20.0, "stop_deadline_s": 1.0, "start_attempts": 1}
    return SupervisorConfig(command=(sys.executable, "-c", program), **(defaults | changes))


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_is_started_and_stopped():
    with ServerSupervisor("Dream01", config(ANSWERS)) as server:
        assert server.phase is ServerPhase.READY
        assert f"ready 127.0.0.1:{server.port}" in server.log_tail()
        pid = server.pid
        assert is_alive(pid)
    assert server.phase is ServerPhase.ABSENT
    assert not is_alive(pid)


def test_a_server_that_ignores_requests_is_killed():
    with ServerSupervisor("Dream01", config(STUBBORN, stop_deadline_s=0.2)) as server:
        pid = server.pid
    assert not is_alive(pid)


def test_children_of_the_server_end_with_it():
    with ServerSupervisor("Dream01", config(WITH_CHILD)) as server:
        child = int(server.log_tail().split()[1])
        assert is_alive(child)
    for _ in range(100):
        if not is_alive(child):
            break
        time.sleep(0.01)
    assert not is_alive(child)


def test_a_server_that_is_not_ready_in_time_is_given_up():
    server = ServerSupervisor("Dream01", config(HANGS, start_deadline_s=0.5))
    with pytest.raises(ServerError, match=r"not ready within 0\.5 s; its last words: .*"):
        server.ensure_ready()
    assert server.phase is ServerPhase.ABSENT
    assert server.pid is None


def test_a_server_that_dies_at_the_start_is_quoted_and_tried_again():
    server = ServerSupervisor("Dream01", config(DIES, start_attempts=2))
    with pytest.raises(ServerError, match=r"exit code 3 .*no such town"):
        server.ensure_ready()
    assert server.num_starts == 2


def test_a_killed_server_is_noticed_and_replaced():
    with ServerSupervisor("Dream01", config(ANSWERS)) as server:
        first = server.pid
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert server.phase is ServerPhase.DEAD
        server.ensure_ready()
        assert server.phase is ServerPhase.READY
        assert server.pid != first


def test_a_command_that_does_not_exist_is_named():
    server = ServerSupervisor(
        "Dream01", SupervisorConfig(command=("/no/such/server",), start_attempts=1)
    )
    with pytest.raises(ServerError, match="/no/such/server"):
        server.ensure_ready()


def test_two_leases_never_share_a_port():
    with leased_ports() as first, leased_ports() as second:
        assert abs(first - second) >= 2


def test_a_port_in_use_is_not_leased():
    with leased_ports() as port:
        pass
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port + 1))
        taken.listen()
        with leased_ports() as other:
            assert other != port


def test_the_embedded_server_ends_with_the_process_that_started_it():
    program = (
        "import signal; from dreamdrive.envs.carla.supervisor import ServerSupervisor; "
        "server = ServerSupervisor('Dream01'); server.ensure_ready(); "
        "print(server.pid, flush=True); signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        server = os.pidfd_open(int(process.stdout.readline()))
        try:
            process.kill()
            process.wait()
            ended, _, _ = select.select([server], [], [], 20.0)
            assert ended == [server]
        finally:
            os.close(server)


def test_starts_that_go_on_failing_are_spaced_out_up_to_a_cap():
    pauses = []
    made = config(DIES, start_attempts=6, backoff_s=1.0, backoff_cap_s=5.0)
    server = ServerSupervisor("Dream01", made, pauses.append)
    with pytest.raises(ServerError):
        server.ensure_ready()
    assert pauses == [1.0, 2.0, 4.0, 5.0]
    assert server.num_starts == 6


def test_a_server_that_dies_soon_each_time_is_spaced_out_and_a_steady_one_is_not():
    for steady_s, wanted in ((60.0, [1.0, 2.0]), (0.0, [])):
        pauses = []
        made = config(ANSWERS, steady_s=steady_s)
        with ServerSupervisor("Dream01", made, pauses.append) as server:
            for _ in range(3):
                server.mark_dead()
                server.ensure_ready()
        assert pauses == wanted


GROWS = "kept = bytes([1]) * (200 << 20); " + ANSWERS
GROWS_IN_CHILD = (
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; "
    "kept = bytes([1]) * (200 << 20); time.sleep(600)']); " + ANSWERS
)


@pytest.mark.parametrize("program", [GROWS, GROWS_IN_CHILD])
def test_a_server_whose_processes_hold_too_much_is_ended(program):
    with ServerSupervisor("Dream01", config(program, memory_limit_mib=150.0)) as server:
        process = os.pidfd_open(server.pid)
        ended, _, _ = select.select([process], [], [], 20.0)
        os.close(process)
        assert ended
        assert server.phase is ServerPhase.DEAD
        assert "may hold 150" in server.verdict()


def test_a_server_within_its_limit_lives():
    with ServerSupervisor("Dream01", config(ANSWERS, memory_limit_mib=150.0)) as server:
        assert server.phase is ServerPhase.READY
        assert 1.0 < group_memory_mib(server.pid) < 150.0
        assert "alive" in server.verdict()


def test_two_processes_never_lease_the_same_ports():
    program = (
        "import sys; from dreamdrive.envs.carla.ports import leased_ports\n"
        "import os; os.getpid = lambda: 7\n"
        "with leased_ports(3) as port: print(port, flush=True); sys.stdin.read()"
    )
    leasers = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    ports = [int(leaser.stdout.readline()) for leaser in leasers]
    for leaser in leasers:
        leaser.communicate()
    assert len(set(ports)) == 4
