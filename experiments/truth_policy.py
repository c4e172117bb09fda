"""Does the dream keep its promises? A policy's dreams beside the real drives of the same policy.

From frames of its real drives the policy drives on in the dream, by its own actions. What it gains
there, how far it gets and how often it comes to an end is compared with what came of it.
"""

import torch
from torch import Tensor

from dreamdrive.agents.imagination import imagine
from dreamdrive.agents.networks import Actor
from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.truth_measures import (
    MeasureConfig,
    correlation,
    known_futures,
    warm_up,
)
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel

POLICY_STEPS = (15, 50)
"""Horizons of the comparison: that of the agent's training, and one far beyond it."""
SAME_ACTION = 0.1
"""Largest mean distance between the actions of a policy and those of drives that are its own."""


@torch.no_grad()
def policy_truth(
    model: WorldModel, actor: Actor, table: FrameTable, config: MeasureConfig
) -> dict[str, float]:
    """Returns dreamed and real return, progress and terminations of a policy.

    Per horizon H: `policy_return_dreamed_H`, `policy_return_real_H` (mean undiscounted reward) and
    their correlation `policy_return_pearson_H`; `policy_progress_dreamed_H`, `…_real_H` (m);
    `policy_terminations_dreamed_H`, `…_real_H` (sums over the windows).

    Args:
        model: The world model to dream in.
        actor: The policy, by its mode.
        table: Drives of that policy, by its mode, that no model was trained on.
        config: What is measured.

    Raises:
        ConfigError: If the drives are not this policy's.
    """
    measures: dict[str, float] = {}
    for H in POLICY_STEPS:
        now, future, steps, ended = known_futures(table, config, H)
        start = warm_up(model, table, now[:, None] + torch.arange(1 - config.context, 1))
        generator = torch.Generator().manual_seed(config.seed)
        dream = imagine(
            model, start, lambda *seen: actor(*seen).mean, horizon=H, generator=generator,
            num_steps=config.num_steps,
        )  # fmt: skip
        _refuse_others(dream.action_BTA[:, 0], table.action_NA[future[:, 0]])
        counted = torch.arange(H) < steps[:, None]
        speed = STATE_INDEX["speed"]
        moved = dream.vector_BTK[:, 1:, speed], table.vector_NK[future, speed]
        sums = {
            "return": (dream.reward_BT, table.reward_N[future]),
            "progress": (DECISION_DT_S * moved[0], DECISION_DT_S * moved[1]),
        }
        for name, (dreamed, real) in sums.items():
            dreamed_B, real_B = (dream.alive * dreamed).sum(1), (counted * real).sum(1)
            measures[f"policy_{name}_dreamed_{H}"] = float(dreamed_B.mean())
            measures[f"policy_{name}_real_{H}"] = float(real_B.mean())
            measures[f"policy_{name}_pearson_{H}"] = correlation(dreamed_B.numpy(), real_B.numpy())
        risk = 1.0 - dream.continuation.prod(1)
        measures[f"policy_terminations_dreamed_{H}"] = float(risk.sum())
        measures[f"policy_terminations_real_{H}"] = float(ended.sum())
    return measures


def _refuse_others(chosen_BA: Tensor, recorded_BA: Tensor) -> None:
    distance = float((chosen_BA - recorded_BA).abs().mean())
    if distance > SAME_ACTION:
        raise ConfigError(
            f"These are not this policy's drives: its actions are {distance:.2f} away from them",
            where="data", do="Collect them: dreamdrive collect --policy POLICY --policy-share 1 "
            "--no-policy-explores.",
        )  # fmt: skip
