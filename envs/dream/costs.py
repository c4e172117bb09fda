"""The cost terms of a dreamed decision, named and scaled as `CarlaDrive-v0` names them.

Shapes: B environments, J causes, H remembered motions.
"""

import numpy as np
import torch
from torch import Tensor

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.driving.causes import is_collision
from dreamdrive.driving.comfort import COMFORT_BOUNDS
from dreamdrive.driving.cost_terms import along_route_mps, discomfort, speeding
from dreamdrive.driving.rewards import OVERSPEED_SCALE_MPS
from dreamdrive.driving.state import STATE_INDEX

COST_NAMES = ("collision", "rule", "progress", "comfort")
SPAN = 2
"""Differences are taken over this many decisions, as in `CarlaDrive-v0`."""
LATEST, BEFORE, FIRST = -1, -1 - SPAN, -1 - 2 * SPAN
PLACES = tuple(STATE_INDEX[n] for n in ("speed", "yaw_rate", "heading_error", "speed_limit"))
LOW = np.array([bound.low for bound in COMFORT_BOUNDS], np.float32)
HIGH = np.array([bound.high for bound in COMFORT_BOUNDS], np.float32)
SPAN_S, OVERSPEED = np.float32(SPAN * DECISION_DT_S), np.float32(OVERSPEED_SCALE_MPS)


class CostMeter:
    """Computes the terms of each decision; remembers the motion that comfort needs.

    Args:
        causes: Names of the causes whose probabilities the model predicts.
        num_envs: B.
        device: Where the tensors are.
    """

    def __init__(self, causes: tuple[str, ...], num_envs: int, device: torch.device) -> None:
        hit = [float(is_collision(name)) for name in causes]
        self._hit_J = torch.tensor(hit, device=device)
        self._motion_BH2 = torch.zeros(num_envs, 2 * SPAN + 1, 2, device=device)
        self._known_B = torch.zeros(num_envs, dtype=torch.long, device=device)

    def restart(self, mask_B: Tensor, vector_BK: Tensor) -> None:
        """Forgets the motion of the environments of the mask; they stand at a first frame."""
        self._known_B.masked_fill_(mask_B, 0)
        self._remember(vector_BK, mask_B)

    def buffers(self) -> list[Tensor]:
        """Returns what is remembered, which is written in place."""
        return [self._motion_BH2, self._known_B]

    def update(self, vector_BK: Tensor, termination_BJ: Tensor) -> dict[str, Tensor]:
        """Returns the terms of the decision that led to a frame, each of shape (B,).

        `collision` is the predicted probability of one; `rule` that of any other fault plus the
        excess over the speed limit in units of 2.23 m/s, at most 1; `progress` is 0 at the speed
        limit along the route and 1 for no gain; `comfort` is the mean squared excess of the six
        signals over their bounds plus 0.05 of their mean square, as shares of the bounds.
        """
        self._remember(vector_BK)
        hit_B = termination_BJ @ self._hit_J
        limit = vector_BK[:, STATE_INDEX["speed_limit"]].clamp_min(1e-5)
        return {
            "collision": hit_B,
            "rule": termination_BJ.sum(1) - hit_B + speeding(vector_BK),
            "progress": 1.0 - (along_route_mps(vector_BK) / limit).clamp(0.0, 1.0),
            "comfort": self._comfort(),
        }

    def update_by_loops(self, vector_BK: Tensor, termination_BJ: Tensor) -> dict[str, Tensor]:
        """Returns what `update` returns, but for rounding, by one loop on a processor."""
        from dreamdrive.kernels.processor_dream import driving_costs

        out = np.empty((len(COST_NAMES), len(vector_BK)), np.float32)
        driving_costs(
            vector_BK.contiguous().numpy(), termination_BJ.contiguous().numpy(),
            self._hit_J.numpy(), self._motion_BH2.numpy(), self._known_B.numpy(), PLACES, LOW, HIGH,
            SPAN, SPAN_S, OVERSPEED, out,
        )  # fmt: skip
        return dict(zip(COST_NAMES, torch.from_numpy(out).unbind(), strict=True))

    def _remember(self, vector_BK: Tensor, mask_B: Tensor | None = None) -> None:
        motion = torch.stack(
            [vector_BK[:, STATE_INDEX["speed"]], vector_BK[:, STATE_INDEX["yaw_rate"]]], 1
        )
        moved = torch.cat([self._motion_BH2[:, 1:], motion[:, None]], 1)
        if mask_B is not None:
            moved = torch.where(mask_B[:, None, None], moved, self._motion_BH2)
        self._motion_BH2.copy_(moved)
        self._known_B.add_(1 if mask_B is None else mask_B)

    def _comfort(self) -> Tensor:
        speed, rate = self._motion_BH2.unbind(-1)
        aside = speed * rate
        span_s = SPAN * DECISION_DT_S
        enough, plenty = self._known_B > SPAN, self._known_B > 2 * SPAN
        ahead = (speed[:, LATEST] - speed[:, BEFORE]) / span_s
        jerk = (ahead - (speed[:, BEFORE] - speed[:, FIRST]) / span_s) / span_s * plenty
        side_jerk = (aside[:, LATEST] - aside[:, BEFORE]) / span_s * plenty
        turn = (rate[:, LATEST] - rate[:, BEFORE]) / span_s
        signals = torch.stack(
            [ahead * enough, aside[:, LATEST], rate[:, LATEST], turn * enough, jerk,
             torch.hypot(jerk, side_jerk)], 1,
        )  # fmt: skip
        return discomfort(signals)
