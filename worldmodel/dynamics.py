"""Block-causal diffusion transformer over latent frames.

The block of frame t holds the noisy latent and the noisy vector of that frame beside the clean ones
of frame t-1, the action between them, what an external memory recalls if there is one, and an agent
token that reads the frame but is read by no other token of it. Since every block has its clean
predecessor, all frames of a training window learn at once, each at its own noise level, and a
rollout needs one pass per frame: the keys and values of its last denoising pass are what later
frames read.

Reference:
    Peebles & Xie 2023, arXiv:2212.09748 (DiT); Chen et al. 2024, "Diffusion Forcing",
    arXiv:2407.01392 (a noise level per frame); Alonso et al. 2024, "DIAMOND", arXiv:2405.12399
    (the previous frame beside the noisy one).
"""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from dreamdrive.worldmodel.attention import Around
from dreamdrive.worldmodel.blocks import Block, Reach, Ring, RingWriter
from dreamdrive.worldmodel.memory import MemoryConfig
from dreamdrive.worldmodel.path import data_from_velocity
from dreamdrive.worldmodel.recurrence import Recurrence
from dreamdrive.worldmodel.rope import space_angles, space_time_angles


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamicsConfig:
    """Sizes of the transformer."""

    width: int = 128
    num_layers: int = 6
    num_heads: int = 4
    num_key_heads: int = 2
    attention: Literal["factorised", "dense"] = "factorised"
    """Whether a layer attends over time or over space, or each over all tokens of the window, with
    positions in (t, h, w)."""
    time_every: int = 2
    """Every so manieth layer attends over time, the others over space, if factorised."""
    patch: int = 2
    window: int = 10
    """Frames that a time layer sees, the current one included."""
    num_registers: int = 0
    """Tokens of a frame that hold nothing at first: room to write (Darcet et al. 2024,
    arXiv:2309.16588)."""
    modulation: Literal["shared", "lora", "full"] = "shared"
    """Where a block's shifts, scales and gates come from: one projection of the condition for all
    blocks and a bias of its own (PixArt-alpha), the same and one of low rank, or a whole one
    (DiT)."""
    modulation_rank: int = 16
    """Of a block's own projection with `lora`."""
    gates: Literal["zero", "one"] = "zero"
    """What blocks begin as: nothing (AdaLN-Zero), or ordinary residual blocks (AdaLN)."""
    has_qk_norm: bool = True
    """Whether queries and keys have unit length before they meet."""
    has_rope: bool = True
    """Whether queries and keys are turned by their positions."""
    predicts: Literal["data", "velocity"] = "data"
    """What the network puts out: the change from the frame before to clean data, or v = z_1 - z_0.
    Outside it there is clean data either way."""
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    """What lies longer ago; without slots, nothing."""
    has_step_size: bool = False
    """Whether the network is told the size of the sampler's step, so that one network can learn to
    take large steps and small ones; see `shortcut`."""
    surroundings: tuple[str, ...] = ()
    """What may hold for a whole episode and conditions every block, as `kind=value`; taken from the
    data, see `surroundings` of the training."""
    has_null_action: bool = False
    """Whether an action may be missing, which NaN stands for: of unlabelled video, and dropped in
    training so that a dream can be guided away from what happens under any action."""

    def __post_init__(self) -> None:
        """Checks the sizes."""
        if self.width % (4 * self.num_heads):
            raise ValueError(f"width must be a multiple of {4 * self.num_heads}, got {self.width}")
        if self.num_heads % self.num_key_heads:
            raise ValueError("num_heads must be a multiple of num_key_heads")
        if self.window < 1:
            raise ValueError(f"window must be at least 1, got {self.window}")

    @property
    def num_time_layers(self) -> int:
        """Layers that read earlier frames."""
        return self.num_layers if self.attention == "dense" else self.num_layers // self.time_every

    def reach(self, layer: int) -> Reach:
        """Returns what a layer attends over."""
        if self.attention == "dense":
            return "both"
        return "time" if (layer + 1) % self.time_every == 0 else "space"


class Frames(NamedTuple):
    """Inputs of T blocks.

    Attributes:
        latent: Noisy latents z_τ, shape (B, T, C, H, W).
        vector: Noisy vectors, shape (B, T, K).
        previous_latent: Clean latents of the frames before, shape (B, T, C, H, W).
        previous_vector: Clean vectors of the frames before, shape (B, T, K).
        action: The actions between, shape (B, T, A); NaN where unknown, if the network has a null
            action.
        tau: Flow time of each frame, shape (B, T); 0 is noise.
        recalled: What was read from the memory for each frame, shape (B, T, E), if there is one.
        step: Size of the sampler's step from τ, shape (B, T), where the network is told it.
        surroundings: What holds for the episode, shape (B, T, X), NaN where nothing is known; None
            for nothing known throughout.
    """

    latent: Tensor
    vector: Tensor
    previous_latent: Tensor
    previous_vector: Tensor
    action: Tensor
    tau: Tensor
    recalled: Tensor | None = None
    step: Tensor | None = None
    surroundings: Tensor | None = None


class Predicted(NamedTuple):
    """Clean latents (B, T, C, H, W), clean vectors (B, T, K), agent token (B, T, D)."""

    latent: Tensor
    vector: Tensor
    agent: Tensor


class Dynamics(nn.Module):
    """The transformer; predicts clean data (x-prediction) as a change of the frame before."""

    def __init__(
        self,
        config: DynamicsConfig,
        *,
        latent_shape: tuple[int, int, int],
        vector_size: int,
        action_size: int,
    ) -> None:
        super().__init__()
        self.config = config
        C, H, _ = latent_shape
        D, patch = config.width, config.patch
        self.grid = H // patch
        self.num_patches = self.grid**2
        num_extra = 2 + config.num_registers + (config.memory.num_slots > 0)
        self.num_tokens = self.num_patches + num_extra
        self.embed_patch = nn.Linear(2 * C * patch**2, D)
        self.embed_vector = nn.Linear(2 * vector_size, D)
        if config.memory.num_slots:
            self.embed_recalled = nn.Linear(config.memory.slot_width, D)
        self.place = nn.Parameter(torch.zeros(self.num_tokens, D))
        self.embed_tau = nn.Sequential(nn.Linear(32, D), nn.SiLU(), nn.Linear(D, D))
        self.embed_action = nn.Sequential(nn.Linear(action_size, D), nn.SiLU(), nn.Linear(D, D))
        self.agent_action = nn.Linear(D, D)
        if config.modulation != "full":
            self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(D, 6 * D))
        rank = {"shared": 0, "lora": config.modulation_rank, "full": D}[config.modulation]
        self.blocks = nn.ModuleList(
            Block(
                D, config.num_heads, config.num_key_heads, reach=config.reach(i),
                modulation_rank=rank, has_qk_norm=config.has_qk_norm, has_rope=config.has_rope,
            )
            for i in range(config.num_layers)
        )  # fmt: skip
        self.norm = nn.LayerNorm(D)
        self.to_patch = nn.Linear(D, C * patch**2)
        self.to_vector = nn.Linear(D, vector_size)
        if config.has_step_size:
            self.embed_step = nn.Sequential(nn.Linear(32, D), nn.SiLU(), nn.Linear(D, D))
        if config.has_null_action:
            self.null_action = nn.Parameter(torch.zeros(D))
        if config.surroundings:
            self.embed_surroundings = nn.Linear(len(config.surroundings), D, bias=False)
            self.no_surroundings = nn.Parameter(torch.zeros(D))
        place_angles = space_angles if config.attention == "factorised" else space_time_angles
        angle = place_angles(self.grid, num_extra, D // config.num_heads)
        self.register_buffer("space_angle", angle * config.has_rope, persistent=False)
        mask = torch.ones(self.num_tokens, self.num_tokens, dtype=torch.bool)
        mask[:-1, -1] = False
        self.register_buffer("space_mask", mask, persistent=False)
        self.space_angle: Tensor
        self.space_mask: Tensor
        self.initialise()

    def initialise(self) -> None:
        """Sets the weights: AdaLN-Zero, so that a new model predicts the frame before.

        Gates and outputs start at zero (DiT), and so does what the size of a step adds, so that a
        network which is given that input later begins as it was; everything else keeps PyTorch's
        defaults.
        """
        nn.init.normal_(self.place, std=0.02)
        zero: list[nn.Module] = [self.to_patch, self.to_vector]
        if self.config.has_step_size:
            zero.append(self.embed_step[2])
        if self.config.surroundings:
            zero.append(self.embed_surroundings)
        if self.config.gates == "zero" and self.config.modulation != "full":
            zero.append(self.modulation[1])
        for block in self.blocks:
            assert isinstance(block, Block)
            if self.config.gates == "one":
                gates = block.modulation_bias.data.view(6, -1)
                gates[2] = gates[5] = 1.0
            elif block.has_own_modulation:
                zero.append(block.own_modulation[-1])
        for layer in zero:
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def init_ring(self, batch_size: int, device: torch.device) -> Ring:
        """Returns an empty ring cache."""
        config = self.config
        shape = (batch_size, config.num_time_layers, self.num_tokens, config.num_key_heads,
                 config.window, config.width // config.num_heads)  # fmt: skip
        empty = torch.zeros(shape, device=device)
        return Ring(empty, empty.clone(), torch.zeros(batch_size, dtype=torch.long, device=device))

    def forward(
        self, frames: Frames, ring: Ring | None = None, *, recurrence: Recurrence | None = None,
        in_place: bool = False,
    ) -> tuple[Predicted, Ring | None]:  # fmt: skip
        """Returns predictions for each frame, and the ring with this frame written to it.

        Args:
            frames: T blocks; with a ring, T is 1.
            ring: What the frames before left behind; None makes the T frames a window of their own.
            recurrence: What the training segment before left behind, in place of a ring.
            in_place: Write into the ring that is given, which saves a copy of it.

        Raises:
            ValueError: If the size of the step is missing, or given to a network without that
                input.
        """
        if self.config.has_step_size != (frames.step is not None):
            raise ValueError("frames.step belongs to networks with has_step_size, and to them only")
        x = self._embed(frames)
        condition = self.embed_tau(_fourier(frames.tau).to(x.dtype)) + self._action(frames.action)
        if frames.step is not None:
            condition = condition + self.embed_step(_fourier(frames.step).to(x.dtype))
        if self.config.surroundings:
            condition = condition + self._surroundings(frames.surroundings).to(x.dtype)
        modulation = None if self.config.modulation == "full" else self.modulation(condition)
        writer = None if ring is None else RingWriter(ring, in_place=in_place)
        past = recurrence if writer is None else writer
        around = Around(self.space_angle, self.space_mask, self.config.window, past)
        layer = 0
        for block in self.blocks:
            x = block(x, condition, modulation, around, layer)
            layer += bool(block.reads_past)
        written = None if writer is None else writer.finish()
        if recurrence is not None:
            recurrence.advance(frames.latent.shape[1])
        x = self.norm(x)
        latent = self._unpatch(self.to_patch(x[:, :, : self.num_patches]))
        vector = self.to_vector(x[:, :, -2]).float()
        if self.config.predicts == "data":
            latent, vector = frames.previous_latent + latent, frames.previous_vector + vector
        else:
            tau = frames.tau[..., None]
            latent = data_from_velocity(latent, frames.latent, tau[..., None, None])
            vector = data_from_velocity(vector, frames.vector, tau)
        return Predicted(latent, vector, x[:, :, -1]), written

    def _action(self, action_BTA: Tensor) -> Tensor:
        """Returns the embedding of actions, (B, T, D); that of the null action where one is NaN."""
        if not self.config.has_null_action:
            embedded: Tensor = self.embed_action(action_BTA)
            return embedded
        is_missing = action_BTA.isnan().any(-1, keepdim=True)
        known = self.embed_action(torch.where(is_missing, 0.0, action_BTA))
        return torch.where(is_missing, self.null_action.to(known.dtype), known)

    def _surroundings(self, surroundings_BTX: Tensor | None) -> Tensor:
        """Returns the embedding of surroundings, (B, T, D) or (D,), that of none where unknown."""
        if surroundings_BTX is None:
            return self.no_surroundings
        is_missing = surroundings_BTX.isnan().any(-1, keepdim=True)
        known = self.embed_surroundings(torch.where(is_missing, 0.0, surroundings_BTX))
        return torch.where(is_missing, self.no_surroundings.to(known.dtype), known)

    def _embed(self, frames: Frames) -> Tensor:
        pair = torch.cat([frames.latent, frames.previous_latent], 2)
        B, T, C, H, W = pair.shape
        p = self.config.patch
        patches = pair.reshape(B, T, C, H // p, p, W // p, p).permute(0, 1, 3, 5, 2, 4, 6)
        patches = self.embed_patch(patches.reshape(B, T, self.num_patches, -1))
        vector = self.embed_vector(torch.cat([frames.vector, frames.previous_vector], -1))
        agent = self.agent_action(self._action(frames.action))
        tokens = [patches, vector[:, :, None], agent[:, :, None]]
        if frames.recalled is not None:
            tokens.insert(1, self.embed_recalled(frames.recalled)[:, :, None])
        if self.config.num_registers:
            shape = (*agent.shape[:2], self.config.num_registers, agent.shape[2])
            tokens.insert(-2, agent.new_zeros(shape))
        return torch.cat(tokens, 2) + self.place

    def _unpatch(self, x_BTNE: Tensor) -> Tensor:
        B, T = x_BTNE.shape[:2]
        p, g = self.config.patch, self.grid
        x = x_BTNE.float().reshape(B, T, g, g, -1, p, p).permute(0, 1, 4, 2, 5, 3, 6)
        return x.reshape(B, T, -1, g * p, g * p)


def _fourier(tau: Tensor) -> Tensor:
    """Returns 32 sines and cosines of a flow time or the size of a step, shape (..., 32)."""
    frequency = math.pi * 2.0 ** torch.linspace(0.0, 6.0, 16, device=tau.device)
    angle = tau[..., None].float() * frequency
    return torch.cat([angle.sin(), angle.cos()], -1)
