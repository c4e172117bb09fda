"""How the steps are taken that a world model learns through: by its own dynamics, or fused.

Shapes: B batch, C H W latent, K vector size, A action size.
"""

from typing import Any, Protocol

from torch import Tensor

from dreamdrive.worldmodel.fused_rollout import FusedRollout
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import Precision
from dreamdrive.worldmodel.transformer import Step


class Rolling(Protocol):
    """Steps of a dream, differentiable in states, actions and weights."""

    def open(self, memory: Any) -> Any:
        """Returns what stands for the memory of a dream that begins."""
        ...

    def step(
        self, latent: Tensor, vector: Tensor, action: Tensor, memory: Any,
        noise: tuple[Tensor, Tensor],
    ) -> Step:  # fmt: skip
        """Returns the frame after `latent` (B, C, H, W) and `vector` (B, K) under an action (B, A).

        Noise is unit Gaussian of the shapes of the first two; all of them are normalised.
        """
        ...

    def close(self, memory: Any) -> Any:
        """Returns the memory after the last frame."""
        ...


class OwnRolling:
    """Steps of a model's own dynamics, with autograd's gradients."""

    def __init__(self, model: WorldModel) -> None:
        self.step = model.dynamics.step

    def open(self, memory: Any) -> Any:
        """Returns the memory."""
        return memory

    def close(self, memory: Any) -> Any:
        """Returns the memory."""
        return memory


def build_rolling(
    model: WorldModel, batch_size: int, horizon: int, *, is_fused: bool,
    precision: Precision = "float32",
) -> Rolling:  # fmt: skip
    """Returns a way to roll B dreams for at most `horizon` steps at a time.

    Raises:
        KernelError: If the fused way cannot run here.
    """
    if not is_fused:
        return OwnRolling(model)
    return FusedRollout(model, batch_size, horizon, precision, learns=True)
