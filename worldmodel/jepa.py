"""Self-supervision by foresight in latent space (V-JEPA), with a target that moves slowly.

The network sees a window with some places of every frame hidden; from what its agent token holds of
frame t, a small network has to name what that of frame t + Δ holds where nothing is hidden:

    jepa     ‖MLP(z_t) - z̄_{t+Δ}‖²,  z = P(agent token),  z̄ from the moving average of the weights
    guard    mean max(0, 1 - std z) + Σ_{i≠j} cov(z_i, z_j)² / E

Nothing in the first asks z to say anything: if z is the same everywhere, it is 0. The moving
average slows such a collapse, the guard prevents it: each of the E features has to vary over the
batch, and no two alike. `spread` and `rank` show whether it worked. Nothing of this is part of a
checkpoint.

Shapes: B batch, T time, C H W latent, D agent token, E features.

Reference:
    Bardes et al. 2024, "Revisiting Feature Prediction for Learning Visual Representations from
    Video", arXiv:2404.08471 (masked prediction, moving target); Bardes, Ponce & LeCun 2022,
    "VICReg", arXiv:2105.04906, eq. 1-4 (variance and covariance).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from dreamdrive.worldmodel.dynamics import Dynamics, Frames
from dreamdrive.worldmodel.losses import Batch
from dreamdrive.worldmodel.shortcut import FINEST
from dreamdrive.worldmodel.transformer import TransformerDynamics

TINY = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class JepaConfig:
    """What is hidden, and what is foreseen."""

    ahead: int = 2
    """Δ, in frames."""
    hidden_share: float = 0.5
    """Share of the places of a window that are hidden, the same in all its frames."""
    features: int = 32
    width: int = 128
    """Of the network that foresees."""
    guard: float = 1.0
    """Weight of the guard beside the error of the prediction."""

    def __post_init__(self) -> None:
        """Checks the sizes."""
        if min(self.ahead, self.features, self.width) < 1 or not 0.0 <= self.hidden_share < 1.0:
            raise ValueError("ahead and widths must be at least 1, and hidden_share below 1")


class Jepa(nn.Module):
    """The projection P and the MLP that foresees; both are left behind when training ends."""

    def __init__(self, config: JepaConfig, agent_size: int) -> None:
        super().__init__()
        self.config = config
        self.project = nn.Linear(agent_size, config.features)
        self.predict = nn.Sequential(
            nn.Linear(config.features, config.width), nn.SiLU(),
            nn.Linear(config.width, config.features),
        )  # fmt: skip


def jepa_loss(
    network: Dynamics,
    jepa: Jepa,
    average: Mapping[str, Tensor],
    frames: Frames,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor], dict[str, float]]:
    """Returns error plus weighted guard, the parts, and how far z̄ is from a collapse.

    Args:
        network: The transformer that learns.
        jepa: Its projection and prediction.
        average: Moving averages of the weights of `network` and `jepa.project`, as `network.…` and
            `project.…`.
        frames: Clean windows of at least Δ + 1 frames; `tau` and `step` are not read.
        generator: Draws the places that are hidden.

    Raises:
        ValueError: If the windows are too short.
    """
    ahead = jepa.config.ahead
    T = frames.latent.shape[1]
    if ahead + 1 > T:
        raise ValueError(f"JEPA foresees {ahead} frames ahead in windows of {T}")
    tau = torch.ones_like(frames.tau)
    step = torch.full_like(tau, FINEST) if network.config.has_step_size else None
    clean = frames._replace(tau=tau, step=step)
    token = network(hide(clean, network.config.patch, jepa.config.hidden_share, generator))[0].agent
    z = jepa.project(token)
    with torch.no_grad():
        token = functional_call(network, _under("network.", average), (clean,))[0].agent
        target = functional_call(jepa.project, _under("project.", average), (token,))
    error = (jepa.predict(z[:, :-ahead]) - target[:, ahead:]).square().mean()
    spread, rank = collapse(target.flatten(0, 1))
    missing = guard(z.flatten(0, 1))
    total = error + jepa.config.guard * missing
    return (
        total, {"jepa": error, "jepa_guard": missing},
        {"jepa_spread": spread, "jepa_rank": rank},
    )  # fmt: skip


def clean_frames(dynamics: TransformerDynamics, batch: Batch) -> Frames:
    """Returns the frames of a window after its first, without noise."""
    previous, previous_vector = batch.latent[:, :-1], batch.vector[:, :-1]
    action = batch.action[:, 1:]
    return Frames(
        batch.latent[:, 1:], batch.vector[:, 1:], previous, previous_vector, action,
        torch.ones_like(action[..., 0]), dynamics.recall(previous, previous_vector, action),
        surroundings=batch.around(action.shape[1]),
    )  # fmt: skip


def hide(frames: Frames, patch: int, share: float, generator: torch.Generator) -> Frames:
    """Returns windows in which some patches are zero, the mean, in all frames alike."""
    B, _, _, H, W = frames.latent.shape
    drawn = torch.rand(
        B, 1, 1, H // patch, W // patch, generator=generator, device=frames.latent.device
    )
    shown = (drawn >= share).to(frames.latent)
    shown = shown.repeat_interleave(patch, 3).repeat_interleave(patch, 4)
    return frames._replace(
        latent=frames.latent * shown, previous_latent=frames.previous_latent * shown
    )


def guard(z_NE: Tensor) -> Tensor:
    """Returns how much variance the features lack, plus how much they share (VICReg, eq. 1-4)."""
    centred = z_NE.float() - z_NE.float().mean(0)
    covariance = centred.T @ centred / (len(z_NE) - 1)
    variance = covariance.diagonal()
    shared = covariance.square().sum() - variance.square().sum()
    return F.relu(1.0 - (variance + TINY).sqrt()).mean() + shared / z_NE.shape[1]


@torch.no_grad()
def collapse(z_NE: Tensor) -> tuple[float, float]:
    """Returns the features' mean standard deviation, and their effective rank over their number.

    The rank is the exponential of the entropy of the covariance's normalised eigenvalues (Roy &
    Vetterli 2007): 1 where all directions are used alike, 1 / E where one is. Both are 0 where
    every feature is constant.
    """
    centred = z_NE.double() - z_NE.double().mean(0)
    covariance = centred.T @ centred / (len(z_NE) - 1)
    spread = float(covariance.diagonal().sqrt().mean())
    values = torch.linalg.eigvalsh(covariance).clamp_min(0.0)
    if float(values.sum()) <= 1e-12:
        return spread, 0.0
    share = values / values.sum()
    entropy = -(share * share.clamp_min(1e-12).log()).sum()
    return spread, float(entropy.exp()) / z_NE.shape[1]


def _under(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: x for name, x in values.items() if name.startswith(prefix)}
