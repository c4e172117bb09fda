"""λ-returns over imagined or recorded decisions.

Reference:
    Sutton & Barto 2018, eq. 12.18, with a continuation of its own for each decision.
"""

import torch
from torch import Tensor


def lambda_return(
    reward_BT: Tensor,
    next_value_BT: Tensor,
    continuation_BT: Tensor,
    *,
    discount: float,
    lambda_: float,
    truncated_BT: Tensor | None = None,
) -> Tensor:
    """Returns G_t = r_t + γ c_t [(1-λ) V_{t+1} + λ G_{t+1}], shape (B, T).

    Entry t belongs to the decision taken on frame t, which leads to frame t+1: its reward, the
    value of frame t+1, and the probability that the episode is not terminated there. At a
    truncation and at the last decision λ is 0: the return goes on with the value alone.

    Args:
        reward_BT: Reward of each decision.
        next_value_BT: Value of the frame that each decision leads to.
        continuation_BT: 1 less the probability of termination; 0 or 1 for recorded decisions.
        discount: γ, in [0, 1].
        lambda_: λ, in [0, 1].
        truncated_BT: Bool: the episode was cut off after the decision, though it was not over.
            What follows belongs to another episode.
    """
    T = reward_BT.shape[1]
    keep = torch.full_like(reward_BT, lambda_)
    if truncated_BT is not None:
        keep = torch.where(truncated_BT, 0.0, keep)
    after = next_value_BT[:, -1]
    returns: list[Tensor] = []
    for t in reversed(range(T)):
        ahead = (1.0 - keep[:, t]) * next_value_BT[:, t] + keep[:, t] * after
        after = reward_BT[:, t] + discount * continuation_BT[:, t] * ahead
        returns.append(after)
    return torch.stack(returns[::-1], 1)


class ReturnScale:
    """A running range of returns, to bring advantages to unit size.

    Reference:
        Hafner et al. 2023, arXiv:2301.04104, eq. 7: percentiles 5 to 95, a floor against noise.
    """

    def __init__(self, *, floor: float, decay: float = 0.99) -> None:
        self.floor, self.decay = floor, decay
        self.range: float | None = None

    def update(self, returns: Tensor) -> float:
        """Takes in a batch of returns and returns the scale to divide by, at least the floor."""
        low, high = torch.quantile(
            returns.detach().flatten().float(), returns.new_tensor([0.05, 0.95])
        ).tolist()
        new = high - low
        self.range = new if self.range is None else self.decay * self.range + (1 - self.decay) * new
        return max(self.floor, self.range)
