"""Small synthetic episodes of a road with one vehicle, whose pictures follow from their state."""

from pathlib import Path

import numpy as np

from dreamdrive.driving.causes import CAUSE_INDEX, CAUSES
from dreamdrive.driving.palette import PALETTE
from dreamdrive.driving.state import IMAGE_SIZE, STATE_INDEX, STATE_SIZE
from dreamdrive.worldmodel.episodes import Episode, save_episode


def tiny_episode(seed: int, steps: int = 24, *, crash: bool = False) -> Episode:
    """Returns an episode in which a vehicle ahead comes nearer by what the ego drives."""
    rng = np.random.default_rng(seed)
    action = rng.uniform(-1.0, 1.0, (steps, 2)).astype(np.float32)
    state = np.zeros((steps + 1, STATE_SIZE), np.float32)
    image = np.zeros((steps + 1, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    image[...] = PALETTE["outside"]
    image[:, :, 24:40] = PALETTE["road"]
    image[:, 45:51, 31:34] = PALETTE["ego"]
    speed, row = float(rng.uniform(2.0, 6.0)), float(rng.uniform(4.0, 12.0))
    for t in range(steps + 1):
        state[t, STATE_INDEX["speed"]] = speed
        state[t, STATE_INDEX["speed_limit"]] = 8.3
        image[t, int(row) : int(row) + 6, 31:34] = PALETTE["vehicle"]
        if t < steps:
            speed = max(0.0, speed + 0.3 * float(action[t, 1]))
            row = min(38.0, row + speed * 0.1)
    end = np.arange(steps) == steps - 1
    cause = CAUSE_INDEX["collision_vehicle" if crash else "time_limit"]
    reward = state[1:, STATE_INDEX["speed"]] / 1000.0 - (end & crash)
    return Episode(
        image=image, state=state, action=action, reward=reward.astype(np.float32),
        terminated=end & crash, truncated=end & (not crash),
        cause=np.where(end, cause, 0).astype(np.uint8), cost=np.zeros((steps, 4), np.float32),
        meta={
            "causes": list(CAUSES), "costs": ["collision", "rule", "progress", "comfort"],
            "driver": "expert" if seed % 2 else "random", "town": "Tiny",
        },
    )  # fmt: skip


def save_tiny_episodes(folder: Path, count: int = 6, steps: int = 24) -> Path:
    """Writes episodes, every third of which ends in a collision; returns the folder."""
    for seed in range(count):
        episode = tiny_episode(seed, steps, crash=seed % 3 == 0)
        save_episode(folder / f"{seed:03d}", episode)
    return folder
