"""How servers share a machine: one on one core, one on each of two cores, and what eight would do.

A server and its client have a core of their own and a process each, as where many episodes are
driven at once. What eight cores would do is computed from that and says so.
"""

import multiprocessing
import os
from contextlib import ExitStack
from multiprocessing.synchronize import Barrier

from dreamdrive.errors import DreamdriveError
from dreamdrive.experiments.bench import BenchConfig
from dreamdrive.experiments.bench_rows import Row, per_second, row_of

MANY_CORES = 8
SETTLED_S = 120.0
"""How long all servers may take until they are ready to be measured."""
SHARE = 0.9
"""What a server on a core of its own must keep beside another."""


def scaling_rows(config: BenchConfig) -> list[Row]:
    """Returns ticks a second of one server and of two, their ratio, and the figure for eight.

    Raises:
        DreamdriveError: If there is one core alone, or a server cannot be measured.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise DreamdriveError("Two servers at once need two cores")
    first, second = _measured(config, usable[:2])
    alone = [(a + b) / 2.0 for (a, _), (b, _) in zip(first, second, strict=True)]
    pair = [a + b for (_, a), (_, b) in zip(first, second, strict=True)]
    shares = [both / (2.0 * one) for both, one in zip(pair, alone, strict=True)]
    one = row_of("server and client on one core", "ticks/s", 1, alone)
    share = row_of("each of two at once over one alone", "", 2, shares, floor=SHARE)
    eight = MANY_CORES * (one.value or 0.0) * min(share.value or 0.0, 1.0)
    return [
        one, row_of("two servers and clients on two cores", "ticks/s", 2, pair), share,
        Row(
            name=f"{MANY_CORES} on {MANY_CORES} cores, computed and not measured", unit="ticks/s",
            cores=MANY_CORES, value=eight,
            note="as many times one alone, at the share that each of two has beside the other",
        ),
    ]  # fmt: skip


def _measured(config: BenchConfig, cores: list[int]) -> list[list[tuple[float, float]]]:
    """Returns of a server on each core its repetitions: alone, and with all at once."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, spawn.Pool(len(cores)) as pool:
        together = manager.Barrier(len(cores))
        return pool.starmap(_tick_on, [(config, cores, core, together) for core in cores], 1)


def _tick_on(
    config: BenchConfig, cores: list[int], core: int, together: Barrier
) -> list[tuple[float, float]]:
    """Returns ticks a second of a server and its client on a core: alone, and beside the others."""
    os.sched_setaffinity(0, {core})
    from dreamdrive.envs.carla.session import Session, SessionConfig
    from dreamdrive.envs.carla.supervisor import ServerSupervisor
    from dreamdrive.experiments.bench_server import spawn_circling

    with ExitStack() as stack:
        server = stack.enter_context(ServerSupervisor(config.town))
        session = Session(SessionConfig(port=server.ensure_ready()))
        stack.callback(session.close)
        spawn_circling(session, config.num_server_vehicles)
        rates = []
        for _ in range(config.repeats):
            for turn in cores:
                together.wait(SETTLED_S)
                if turn == core:
                    alone = per_second(session.tick, config.seconds)
            together.wait(SETTLED_S)
            rates.append((alone, per_second(session.tick, config.seconds)))
        together.wait(SETTLED_S)  # Nobody stops while another is measured.
        return rates
