"""How fast `CarlaDrive-v0` and the dream are."""

import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dreamdrive.experiments.bench import BenchConfig
from dreamdrive.experiments.bench_rows import WARM_UP_CALLS, Row, per_second, row_of

EPISODE_SEEDS = 8
NUM_DREAMS = 16
FLAT_COST = 1.1
"""The most that a step may cost after many, over what it cost at first."""
FLAT_MIB = 8.0
"""Growth of memory that allocators and caches may show without an episode growing."""


def carla_row(config: BenchConfig, cores: int) -> Row:
    """Returns decisions a second of `CarlaDrive-v0` with its own server, driven by its expert."""
    from dreamdrive.envs.carla.env import CarlaDriveEnv

    with CarlaDriveEnv(num_vehicles=config.num_vehicles, town=config.town) as env:
        seeds = iter(range(10**9))
        env.reset(seed=next(seeds))
        samples = []
        for _ in range(config.repeats):
            count, spent = 0, 0.0
            while spent < config.seconds:
                action = env.expert_action()
                began = time.perf_counter()
                _, _, terminated, truncated, _ = env.step(action)
                spent += time.perf_counter() - began
                count += 1
                if terminated or truncated:
                    env.reset(seed=next(seeds) % EPISODE_SEEDS)
            samples.append(count / spent)
    name = f"CarlaDrive-v0, {config.num_vehicles} vehicles, with its server"
    return row_of(name, "decisions/s", cores, samples, floor=100.0 if cores == 1 else None)


def dream_row(measure: str, config: BenchConfig, cores: int) -> Row:
    """Returns environment steps a second of the dream."""
    num_dreams = 1 if measure == "dream" else NUM_DREAMS
    is_latent = measure.endswith("latent")
    floor = {"dream": 100.0, "dream-16": 400.0, "dream-16-latent": 1200.0}[measure]
    with ExitStack() as stack:
        step = _dreaming(stack, config, num_dreams, is_latent)
        for _ in range(WARM_UP_CALLS):
            step()
        samples = [num_dreams * per_second(step, config.seconds) for _ in range(config.repeats)]
    what = "latent" if is_latent else "pixels"
    name = f"WorldModelDream-v0, {num_dreams} environment{'s' * (num_dreams > 1)}, {what}"
    return row_of(name, "steps/s", cores, samples, floor=floor, note=config.model)


def memory_rows(config: BenchConfig, cores: int) -> list[Row]:
    """Returns what many steps of one dream change, after a warm-up: memory, and a step's cost."""
    with ExitStack() as stack:
        step = _dreaming(stack, config, 1, True)
        for _ in range(max(WARM_UP_CALLS, config.memory_steps // 10)):
            step()
        before = resident_mib()
        taken = []
        for _ in range(config.memory_steps):
            began = time.perf_counter()
            step()
            taken.append(time.perf_counter() - began)
        grown = resident_mib() - before
    some = max(1, len(taken) // 10)
    first, last = statistics.median(taken[:some]), statistics.median(taken[-some:])
    name = f"WorldModelDream-v0, {{}} over {config.memory_steps:,} steps"
    return [
        row_of(
            name.format("growth of memory"), "MiB", cores, [grown], floor=FLAT_MIB,
            is_ceiling=True, note=config.model,
        ),
        row_of(
            name.format("cost of the last tenth over that of the first,"), "", cores,
            [last / first], floor=FLAT_COST, is_ceiling=True, note=config.model,
        ),
    ]  # fmt: skip


def _dreaming(
    stack: ExitStack, config: BenchConfig, num_dreams: int, is_latent: bool
) -> Callable[[], None]:
    """Returns a function that takes one step of a dream, over the ends of its episodes."""
    import gymnasium as gym
    import numpy as np
    import torch

    from dreamdrive.envs.registration import register_envs

    register_envs()
    torch.set_num_threads(1)
    how: dict[str, Any] = {"model": config.model, "max_steps": 2 * config.memory_steps}
    if is_latent:
        how["observations"] = "latent"
    if num_dreams == 1:
        env = gym.make("WorldModelDream-v0", disable_env_checker=True, **how)
        stack.callback(env.close)
        env.reset(seed=0)

        def step_one() -> None:
            _, _, terminated, truncated, _ = env.step(np.array([0.0, 0.2], np.float32))
            if terminated or truncated:
                env.reset()

        return step_one
    vector = gym.make_vec(
        "WorldModelDream-v0", num_envs=num_dreams, vectorization_mode="vector_entry_point", **how
    )  # fmt: skip
    stack.callback(vector.close)
    vector.reset(seed=0)
    actions = np.tile(np.array([0.0, 0.2], np.float32), (num_dreams, 1))
    return lambda: vector.step(actions) and None


def resident_mib() -> float:
    """Returns the memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
