from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.truth_measures import MeasureConfig
from dreamdrive.experiments.truth_policy import POLICY_STEPS, policy_truth
from dreamdrive.worldmodel.episodes import FrameTable
from support.point_mass import WALL_SCALE, PointMassWorld, good_driver

LENGTH = 81
MEASURE = MeasureConfig(context=2, num_event_windows=60)


def keep_lane(latent: Tensor, vector: Tensor) -> SimpleNamespace:
    """Holds the lane and never brakes for anything."""
    action = good_driver(PointMassWorld().init_state(len(vector))._replace(vector_BK=vector))
    return SimpleNamespace(mean=torch.atanh(action.clamp(-0.999, 0.999)))


def drives(world: PointMassWorld, walls_m: tuple[float, ...]) -> FrameTable:
    """Returns a drive by `keep_lane` towards each wall, ended where it is hit."""
    images, columns, starts, lengths = [], [], [], []
    for wall_m in walls_m:
        state = world.start(1, speed=2.0, wall_m=wall_m)
        rows = [(state.vector_BK[0], torch.zeros(2), 0.0, 0)]
        walls = [float(state.latent_BCHW[0, 0, 0, 0])]
        while len(rows) < LENGTH and not rows[-1][3]:
            action = keep_lane(state.seen, state.vector_BK).mean.tanh()
            state, seen = world.imagine_step(state, action)
            ends = float(seen.termination_BC.sum()) > 0.5
            cause = int(seen.termination_BC[0].argmax()) + 1 if ends else 0
            rows.append((seen.vector_BK[0], action[0], float(seen.reward_B), cause))
            walls.append(float(state.latent_BCHW[0, 0, 0, 0]))
        image = np.zeros((len(rows), 64, 64, 3), np.uint8)
        image[:, 0, 0, 0] = np.round(255.0 * np.clip(np.array(walls) / WALL_SCALE / 100.0, 0, 1))
        starts.append(sum(lengths))
        lengths.append(len(rows))
        images.append(torch.from_numpy(image))
        columns += rows
    vector, action, reward, cause = zip(*columns, strict=True)
    return FrameTable(
        torch.cat(images), torch.stack(vector), torch.stack(action), torch.tensor(reward),
        torch.tensor(cause), torch.tensor(starts), torch.tensor(lengths), ("policy",) * len(starts),
    )  # fmt: skip


def test_a_dream_that_is_the_world_keeps_its_promises() -> None:
    world = PointMassWorld()
    found = policy_truth(world, keep_lane, drives(world, (100.0, 100.0)), MEASURE)
    for H in POLICY_STEPS:
        assert found[f"policy_return_dreamed_{H}"] == pytest.approx(
            found[f"policy_return_real_{H}"], abs=1e-3
        )
        assert found[f"policy_progress_dreamed_{H}"] == pytest.approx(
            found[f"policy_progress_real_{H}"], abs=1e-3
        )
        assert found[f"policy_progress_pearson_{H}"] > 0.999
        assert found[f"policy_terminations_real_{H}"] == 0.0
        assert found[f"policy_terminations_dreamed_{H}"] < 0.01
    assert found["policy_progress_real_50"] > 3.0 * found["policy_progress_real_15"]


def test_what_the_dream_promises_too_much_shows() -> None:
    generous = PointMassWorld(reward_scale=0.2)
    table = drives(PointMassWorld(reward_scale=0.1), (100.0,))
    found = policy_truth(generous, keep_lane, table, MEASURE)
    for H in POLICY_STEPS:
        ratio = found[f"policy_return_dreamed_{H}"] / found[f"policy_return_real_{H}"]
        assert ratio == pytest.approx(2.0, rel=1e-3)


def test_real_ends_are_counted_beside_dreamed_ones() -> None:
    """Every frame from which the wall is hit within the horizon counts once, and what would come
    after the hit counts no more in the dream than in the drive."""
    world = PointMassWorld()
    table = drives(world, (40.0,))
    found = policy_truth(world, keep_lane, table, MEASURE)
    frames = int(table.length_E[0])
    assert frames < LENGTH
    for H in POLICY_STEPS:
        ending = min(H, frames - MEASURE.context)
        assert found[f"policy_terminations_real_{H}"] == ending
        # A frame shows the wall to within 0.2 m only.
        assert found[f"policy_terminations_dreamed_{H}"] == pytest.approx(ending, abs=3.0)
        for name in ("progress", "return"):
            dreamed, real = (found[f"policy_{name}_{kind}_{H}"] for kind in ("dreamed", "real"))
            assert dreamed == pytest.approx(real, abs=0.3)


def test_drives_of_another_are_refused() -> None:
    world = PointMassWorld()
    table = drives(world, (100.0,))

    def other(latent: Tensor, vector: Tensor) -> SimpleNamespace:
        return SimpleNamespace(mean=torch.full((len(vector), 2), -1.0))

    with pytest.raises(ConfigError, match="not this policy's drives"):
        policy_truth(world, other, table, MEASURE)
