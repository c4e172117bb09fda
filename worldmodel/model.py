"""The world model: one face over tokenizer, dynamics and heads.

Shapes: B batch, T time, C channels, H W latent or image size, K vector size, A action size.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dreamdrive import checkpoint
from dreamdrive.config import from_dict, to_dict
from dreamdrive.errors import CheckpointError, ConfigError
from dreamdrive.worldmodel.calibration import Calibration
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.heads import OutcomeHeads
from dreamdrive.worldmodel.interface import Interface
from dreamdrive.worldmodel.mdnrnn import MDNRNNConfig, MDNRNNDynamics
from dreamdrive.worldmodel.model_card import FILE as CARD
from dreamdrive.worldmodel.model_card import model_card
from dreamdrive.worldmodel.recurrent import RecurrentConfig, RecurrentDynamics
from dreamdrive.worldmodel.rssm import RSSMConfig, RSSMDynamics
from dreamdrive.worldmodel.state import LAG, Imagined, Observes, RolloutState
from dreamdrive.worldmodel.tokenizer import Tokenizer, TokenizerConfig
from dreamdrive.worldmodel.transformer import TransformerDynamics

SHIPPED = Path(__file__).resolve().parent / "checkpoints"
DEFAULT = "dreamdrive-cpu"

Kind = Literal["transformer", "recurrent", "mdnrnn", "rssm"]
"""What predicts the next latent: the diffusion transformer, or one of the classical models that it
is measured beside: a small recurrent one, that of World Models, that of DreamerV3."""
Dynamics = TransformerDynamics | RecurrentDynamics | MDNRNNDynamics | RSSMDynamics


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldModelConfig:
    """What a world model is made of and what its numbers mean."""

    vector_names: tuple[str, ...]
    causes: tuple[str, ...]
    """Names of the causes of termination that the heads predict."""
    quantities: tuple[str, ...] = ()
    """Names of the numbers that a head tells of each decision, such as terms of a cost."""
    calibration: Calibration | None = None
    """What the disagreement of the heads means as a probability, once that was counted."""
    action_size: int = 2
    step_s: float = 0.1
    """Seconds between two frames."""
    reward_scale: float = 1.0
    """Rewards of the environment are so many times those that the model predicts."""
    interface: Interface | None = None
    """The spaces of the environment that it was learned from; None for those of driving."""
    kind: Kind = "transformer"
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    transformer: DynamicsConfig = field(default_factory=DynamicsConfig)
    recurrent: RecurrentConfig = field(default_factory=RecurrentConfig)
    mdnrnn: MDNRNNConfig = field(default_factory=MDNRNNConfig)
    rssm: RSSMConfig = field(default_factory=RSSMConfig)

    def __post_init__(self) -> None:
        """Checks that the sizes are those of the interface.

        Raises:
            ValueError: If they are not, or if the scale of rewards is not positive.
        """
        if not self.reward_scale > 0.0:
            raise ValueError(f"reward_scale must be positive, got {self.reward_scale}")
        told = self.interface
        if told is not None and (told.vector_names, told.action_size) != (
            self.vector_names,
            self.action_size,
        ):
            raise ValueError("The vector or the action is not that of the interface")

    @property
    def vector_size(self) -> int:
        """Entries of a frame's vector."""
        return len(self.vector_names)

    @property
    def image_size(self) -> int:
        """Height and width of a frame."""
        return self.tokenizer.image_size

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        size = self.tokenizer.latent_size
        return (self.tokenizer.latent_channels, size, size)


def new_dynamics(config: WorldModelConfig) -> Dynamics:
    """Returns untrained dynamics of the kind and sizes of a configuration."""
    sizes: dict[str, Any] = {
        "latent_shape": config.latent_shape,
        "vector_size": config.vector_size,
        "action_size": config.action_size,
    }
    if config.kind == "transformer":
        return TransformerDynamics(config.transformer, **sizes)
    if config.kind == "mdnrnn":
        return MDNRNNDynamics(config.mdnrnn, **sizes)
    if config.kind == "rssm":
        return RSSMDynamics(config.rssm, **sizes)
    return RecurrentDynamics(config.recurrent, **sizes)


class WorldModel(nn.Module):
    """A learned simulator; see `imagine_step` for the one step that everything rests on."""

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = Tokenizer(config.tokenizer)
        self.dynamics = new_dynamics(config)
        self.heads = OutcomeHeads(
            self.dynamics.agent_size, len(config.causes), len(config.quantities),
            config.calibration,
        )  # fmt: skip
        channels, K = config.latent_shape[0], config.vector_size
        for name, size in (("latent", channels), ("vector", K)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.latent_mean: Tensor
        self.latent_std: Tensor
        self.vector_mean: Tensor
        self.vector_std: Tensor

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.latent_mean.device

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        return self.config.latent_shape

    # --- files -----------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path = DEFAULT, device: str | torch.device = "cpu"
    ) -> "WorldModel":
        """Returns a trained model, in evaluation mode.

        Args:
            name_or_path: A shipped checkpoint's name, or a folder that `save_pretrained` wrote.
            device: Where to put it.

        Raises:
            CheckpointError: If it is missing, truncated, or of another schema or shape.
        """
        folder = find_checkpoint(name_or_path)
        header = checkpoint.load_header(folder, "WorldModel")
        model = cls(from_dict(WorldModelConfig, header["config"], f"{folder}/config.json"))
        tensors = checkpoint.load_tensors(folder, "model")
        try:
            model.load_state_dict({name: value.float() for name, value in tensors.items()})
        except RuntimeError as error:
            text = str(error).splitlines()[-1].strip()
            raise CheckpointError(f"The weights do not fit: {text}", where=folder) from error
        return model.to(device).eval().requires_grad_(False)

    def save_pretrained(self, folder: str | Path, *, half: bool = False, **facts: Any) -> None:
        """Writes the model as a checkpoint folder, with a page that says what it is and is not.

        Args:
            folder: Where; an older checkpoint there is replaced in one rename.
            half: Store 16-bit floats, at half the size.
            **facts: JSON facts for the header and the page, see `model_card.TOLD` and `SCORED`.

        Raises:
            StorageError: If it could not be written.
        """
        state = self.state_dict()
        if half:
            state = {name: value.half() for name, value in state.items()}
        config = to_dict(self.config)
        page = model_card(self, facts, checkpoint.git_commit())
        checkpoint.save_checkpoint(
            Path(folder), "WorldModel", config, {"model": state}, {CARD: page}, **facts
        )

    # --- frames and latents ----------------------------------------------------------------------

    def encode(self, image_BTCHW: Tensor) -> Tensor:
        """Returns normalised latents (B, T/s, C, H/8, W/8) of a clip from an episode's start.

        s is the tokenizer's `time_stride`, 1 for all models that dream.
        """
        posterior, _ = self.tokenizer.posterior(image_BTCHW)
        return self.normalise_latent(posterior.mean)

    def decode(self, latent_BTCHW: Tensor) -> Tensor:
        """Returns RGB (B, T, 3, H, W) in [0, 1] of a clip of normalised latents."""
        image, _ = self.tokenizer.decode(self.unnormalise_latent(latent_BTCHW))
        return image.clamp(0.0, 1.0)

    def encode_stream(self, image_BCHW: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the latent (B, C, H/8, W/8) of the next frame of a stream, and its cache."""
        posterior, cache = self.tokenizer.posterior(image_BCHW[:, None], cache)
        return self.normalise_latent(posterior.mean)[:, 0], cache

    def decode_step(self, state: RolloutState) -> tuple[Tensor, RolloutState]:
        """Returns the current frame as RGB (B, 3, H, W) in [0, 1], and the state after showing it.

        Call it once for each step of a rollout: the decoder mixes a frame with the two before.
        """
        latent = self.unnormalise_latent(state.latent_BCHW[:, None])
        image, cache = self.tokenizer.decode(latent, state.decoder_cache)
        return image[:, 0].clamp(0.0, 1.0), state._replace(decoder_cache=cache)

    def normalise_latent(self, latent: Tensor) -> Tensor:
        """Returns a latent with zero mean and unit variance per channel (third axis from right)."""
        return (latent - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def unnormalise_latent(self, latent: Tensor) -> Tensor:
        """Returns the tokenizer's own latent; the inverse of `normalise_latent`."""
        return latent * self.latent_std[:, None, None] + self.latent_mean[:, None, None]

    def normalise_vector(self, vector: Tensor) -> Tensor:
        """Returns a vector with zero mean and unit variance per entry."""
        return (vector - self.vector_mean) / self.vector_std

    def unnormalise_vector(self, vector: Tensor) -> Tensor:
        """Returns a vector in its own units; the inverse of `normalise_vector`."""
        return vector * self.vector_std + self.vector_mean

    # --- rollouts --------------------------------------------------------------------------------

    def init_state(self, batch_size: int) -> RolloutState:
        """Returns the state before an episode's first frame.

        Raises:
            ConfigError: If the model compresses clips alone.
        """
        if self.config.tokenizer.time_stride > 1:
            raise ConfigError(
                f"A latent of this model holds {self.config.tokenizer.time_stride} frames: it "
                "compresses clips and cannot dream",
                do="Train a tokenizer with --tokenizer.time-stride 1.",
            )
        like = self.latent_mean
        return RolloutState(
            latent_BCHW=like.new_zeros(batch_size, *self.latent_shape),
            vector_BK=like.new_zeros(batch_size, self.config.vector_size),
            memory=self.dynamics.init_memory(batch_size, self.device),
            encoder_cache=self.tokenizer.encoder_cache(batch_size, like),
            decoder_cache=self.tokenizer.decoder_cache(batch_size, like),
            past_BLCHW=like.new_zeros(batch_size, LAG, *self.latent_shape),
        )

    def observe(
        self,
        state: RolloutState,
        image_BCHW: Tensor,
        vector_BK: Tensor,
        action_BA: Tensor | None = None,
    ) -> RolloutState:
        """Returns the state after a real frame.

        Args:
            state: The state before it.
            image_BCHW: RGB in [0, 1].
            vector_BK: The frame's vector, in its own units.
            action_BA: The action that led to it; None for an episode's first frame.
        """
        latent, encoder_cache = self.encode_stream(image_BCHW, state.encoder_cache)
        state = self.observe_latent(state, latent, vector_BK, action_BA)
        return state._replace(encoder_cache=encoder_cache)

    def observe_latent(
        self,
        state: RolloutState,
        latent_BCHW: Tensor,
        vector_BK: Tensor,
        action_BA: Tensor | None = None,
        imagine: Callable[..., Any] | None = None,
    ) -> RolloutState:
        """Returns the state after a real frame whose latent is known; as `observe`.

        With `imagine`, a faster `imagine_step` of this model, the frame is written in place.
        """
        if action_BA is not None:
            noise = (torch.zeros_like(latent_BCHW), torch.zeros_like(vector_BK))
            if isinstance(imagine, Observes):
                memory = imagine.observe(state, action_BA)
            elif imagine is not None:
                after, _ = imagine(state, action_BA, noise=noise, in_place=True)
                memory = after.memory
            else:
                before = self.normalise_vector(state.vector_BK)
                memory = self.dynamics.step(
                    state.latent_BCHW, before, action_BA, state.memory, noise
                ).memory
            state = state._replace(memory=memory).followed_by(latent_BCHW)
        else:
            state = state.beginning_with(latent_BCHW)
        raw = self.unnormalise_latent(latent_BCHW)
        decoder_cache = self.tokenizer.passed(raw, state.decoder_cache)
        return state._replace(vector_BK=vector_BK, decoder_cache=decoder_cache)

    def imagine_step(
        self,
        state: RolloutState,
        action_BA: Tensor,
        *,
        generator: torch.Generator | None = None,
        noise: tuple[Tensor, Tensor] | None = None,
        num_steps: int = 1,
        in_place: bool = False,
    ) -> tuple[RolloutState, Imagined]:
        """Returns the state after an action, and what it shows; differentiable in both arguments.

        Args:
            state: Where the rollout stands.
            action_BA: The action taken there.
            generator: Source of the flow's noise where `noise` is None.
            noise: Unit Gaussian of the shapes of the latent and the vector.
            num_steps: Euler steps of the sampler: 1 gives the mean, 4 a sample.
            in_place: Write the frame into the ring of `state`, which may then not be used again.
                It saves a copy of the past at every step; who branches takes copies with
                `RolloutState.clone` or `select` first. Without gradients only.

        Raises:
            ConfigError: If the dynamics cannot take so many steps.
            ValueError: If `in_place` is asked for while gradients are recorded.
        """
        if noise is None:
            noise = (
                torch.randn(state.latent_BCHW.shape, generator=generator, device=self.device),
                torch.randn(state.vector_BK.shape, generator=generator, device=self.device),
            )
        before = self.normalise_vector(state.vector_BK)
        # Only the transformer's memory is so large that it is worth writing in place.
        how = {"in_place": True} if in_place and self.config.kind == "transformer" else {}
        step = self.dynamics.step(
            state.latent_BCHW, before, action_BA, state.memory, noise, num_steps, **how
        )
        vector = self.unnormalise_vector(step.vector)
        outcome = self.heads(step.agent)
        state = state.followed_by(step.latent)._replace(vector_BK=vector, memory=step.memory)
        return state, Imagined(step.latent, vector, *outcome)


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Returns the folder of a world model: a path where there is one, else a shipped name.

    Raises:
        CheckpointError: If there is neither.
    """
    return checkpoint.find_checkpoint(name_or_path, SHIPPED)
