"""Heads on the agent token: reward and termination by cause, as a small ensemble, and quantities.

The members start from different weights; their disagreement is the model's own word that it does
not know, and with a calibration a probability.

Reference:
    Hafner et al. 2023, arXiv:2301.04104 (two-hot rewards); Lakshminarayanan et al. 2017,
    arXiv:1612.01474 (ensembles); Menon et al. 2021, arXiv:2007.07314, eq. 10 (logit adjustment).
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.worldmodel.calibration import Calibration, Doubt
from dreamdrive.worldmodel.quantities import QuantityHead
from dreamdrive.worldmodel.two_hot import symexp_bins, two_hot_loss, two_hot_mean

NUM_MEMBERS = 3
NUM_BINS = 63
REWARD_LIMIT, REWARD_SCALE = 2.0, 0.01


class Outcome(NamedTuple):
    """What a decision leads to.

    Attributes:
        reward: Expected reward, shape (...).
        termination: Probability of each cause, shape (..., causes); their sum is at most 1.
        uncertainty: Standard deviation between the members of the probability to terminate, plus
            that of the reward, shape (...).
        doubt: Probability that the model does not know, shape (...), if it is calibrated.
        quantity: What the quantities are expected to be, shape (..., Q), if it tells any.
    """

    reward: Tensor
    termination: Tensor
    uncertainty: Tensor
    doubt: Tensor | None = None
    quantity: Tensor | None = None


class OutcomeHeads(nn.Module):
    """An ensemble of networks from the agent token to reward and cause.

    Args:
        width: D.
        num_causes: How many causes of termination there are.
        num_quantities: Numbers that another head tells; 0 for no such head.
        calibration: What the ensemble's disagreement means, if that is known.
    """

    def __init__(
        self,
        width: int,
        num_causes: int,
        num_quantities: int = 0,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(),
                nn.Linear(width, NUM_BINS + num_causes + 1),
            )
            for _ in range(NUM_MEMBERS)
        )  # fmt: skip
        bins = symexp_bins(NUM_BINS, REWARD_LIMIT, REWARD_SCALE)
        self.register_buffer("bins", bins, persistent=False)
        self.bins: Tensor
        self.quantities = QuantityHead(width, num_quantities) if num_quantities else None
        self.doubt = None if calibration is None else Doubt(calibration)

    def forward(self, agent: Tensor) -> Outcome:
        """Returns the outcome for agent tokens of shape (..., D)."""
        out = torch.stack([member(agent).float() for member in self.members])
        reward = two_hot_mean(out[..., :NUM_BINS], self.bins)
        cause = out[..., NUM_BINS:].softmax(-1)
        uncertainty = (1.0 - cause[..., 0]).std(0) + reward.std(0)
        beside = self.beside(agent, uncertainty)
        return Outcome(reward.mean(0), cause[..., 1:].mean(0), uncertainty, *beside)

    def beside(self, agent: Tensor, uncertainty: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Returns doubt and quantities, as `Outcome` has them, given the uncertainty."""
        doubt = None if self.doubt is None else self.doubt(uncertainty)
        return doubt, None if self.quantities is None else self.quantities(agent)

    def loss(
        self, agent: Tensor, reward: Tensor, cause: Tensor, oversampling: float = 1.0,
        quantity: Tensor | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Returns the mean cross-entropies of `reward` and `cause`, over members and elements.

        Where quantities are told and known, also the squared error of `quantity`.

        Where terminations are sampled more often than they happen, the heads still learn how often
        they happen: the logits of the causes are raised by the log of the ratio in the loss alone
        (logit adjustment), and the rewards and quantities of terminations weigh less by the ratio.

        Args:
            agent: Agent tokens, shape (..., D).
            reward: Rewards, shape (...).
            cause: 0 for none, else 1 + the number of the cause, int64, shape (...).
            oversampling: How many times more often terminations are sampled than they happen.
            quantity: Quantities, shape (..., Q), or None.
        """
        reward_loss, cause_loss = [], []
        weight = torch.where(cause > 0, 1.0 / oversampling, 1.0)
        for member in self.members:
            out = member(agent).float()
            error = two_hot_loss(out[..., :NUM_BINS], reward, self.bins)
            reward_loss.append((weight * error).mean())
            logits = out[..., NUM_BINS:].flatten(0, -2)
            raised = logits[:, 1:] + math.log(oversampling)
            sampled = torch.cat([logits[:, :1], raised], 1)
            cause_loss.append(F.cross_entropy(sampled, cause.flatten()))
        parts = {
            "reward": torch.stack(reward_loss).mean(), "cause": torch.stack(cause_loss).mean()
        }  # fmt: skip
        if self.quantities is not None and quantity is not None:
            parts["quantity"] = self.quantities.loss(agent, quantity, weight)
        return parts

    def divergence(self, agent: Tensor, other: "OutcomeHeads", other_agent: Tensor) -> Tensor:
        """Returns KL(these ‖ other), in nats, mean over members and elements.

        Both distributions are discrete, over the bins of the reward and over the causes of
        termination; their divergences are added. The other heads get no gradient.

        Args:
            agent: Agent tokens of these heads, shape (..., D).
            other: Heads with as many members.
            other_agent: Theirs.
        """
        found = []
        for member, theirs in zip(self.members, other.members, strict=True):
            with torch.no_grad():
                reference = theirs(other_agent).float()
            out = member(agent).float()
            for part in (slice(None, NUM_BINS), slice(NUM_BINS, None)):
                log_q = out[..., part].log_softmax(-1)
                log_p = reference[..., part].log_softmax(-1)
                found.append((log_q.exp() * (log_q - log_p)).sum(-1).mean())
        return torch.stack(found).sum() / len(self.members)
