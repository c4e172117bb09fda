"""An external memory for what lies longer ago than the transformer's window.

A controller sees each frame once, when it is committed: the clean frame, the action that follows,
and the pose, which is integrated from both. It writes to the memory, then reads what the next frame
may need; the read vector becomes one more token of that frame. Addressing,
writing and reading are `kernels.ntm`.

Shapes: B batch, T time, S slots, E width of a slot, C H W latent, K vector size, A action size.

Reference:
    Graves, Wayne & Danihelka 2014, "Neural Turing Machines", arXiv:1410.5401, eq. 2-9; Collier &
    Beel 2018, arXiv:1807.08518 (a constant memory to begin with).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.kernels.ntm import Controls, ntm_step

EMPTY = 1e-6
"""What every place of a slot holds before anything is written."""
LONGEST_SHIFT = 1
"""Slots that one addressing may move the focus by, to either side."""
POSE_WAVES = 4
"""Waves of each coordinate of the pose that the controller sees; the longest has 128 units."""
LONGEST_WAVE = 128.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryConfig:
    """Sizes of the memory."""

    num_slots: int = 0
    """S; 0 leaves the memory out."""
    slot_width: int = 64
    controller_width: int = 128

    def __post_init__(self) -> None:
        """Checks the sizes."""
        if self.num_slots < 0 or min(self.slot_width, self.controller_width) < 1:
            raise ValueError("num_slots cannot be negative, and widths are at least 1")
        if 0 < self.num_slots < 2 * LONGEST_SHIFT + 1:
            raise ValueError(f"num_slots must be 0 or at least {2 * LONGEST_SHIFT + 1}")


class MemoryState(NamedTuple):
    """What the memory is between two frames.

    Attributes:
        content_BSE: The slots.
        write_BS: Where was written last.
        read_BS: Where was read last.
        pose_BP: Place (x, y) in the axes of the episode's first frame, and heading in radians, in
            units that the model learns.
    """

    content_BSE: Tensor
    write_BS: Tensor
    read_BS: Tensor
    pose_BP: Tensor


class Address(NamedTuple):
    """What a head asks for.

    Attributes:
        key_BE: k, compared with the slots.
        strength_B: β > 0.
        gate_B: g in (0, 1), 1 for the content alone.
        shift_BD: s, a distribution over moves from -`LONGEST_SHIFT` to `LONGEST_SHIFT`.
        sharpness_B: γ ≥ 1.
    """

    key_BE: Tensor
    strength_B: Tensor
    gate_B: Tensor
    shift_BD: Tensor
    sharpness_B: Tensor

    @staticmethod
    def size(slot_width: int) -> int:
        """Returns how many numbers an address is made of."""
        return slot_width + 3 + 2 * LONGEST_SHIFT + 1

    @staticmethod
    def of(raw_BF: Tensor, slot_width: int) -> "Address":
        """Returns the address that unbounded numbers stand for."""
        key, strength, gate, sharpness, shift = raw_BF.split(
            (slot_width, 1, 1, 1, 2 * LONGEST_SHIFT + 1), -1
        )
        return Address(
            key, 1.0 + F.softplus(strength[:, 0]), gate[:, 0].sigmoid(), shift.softmax(-1),
            1.0 + F.softplus(sharpness[:, 0]),
        )  # fmt: skip


class ExternalMemory(nn.Module):
    """The controller and its two heads.

    Args:
        config: Sizes; `num_slots` is at least 3.
        latent_shape: C, H and W.
        vector_size: K.
        action_size: A.
    """

    def __init__(
        self,
        config: MemoryConfig,
        *,
        latent_shape: tuple[int, int, int],
        vector_size: int,
        action_size: int,
    ) -> None:
        super().__init__()
        self.config = config
        C, H, W = latent_shape
        E, D = config.slot_width, config.controller_width
        self.move = nn.Linear(vector_size + action_size, 3)
        self.see = nn.Sequential(
            nn.Conv2d(C, 16, 3, stride=2, padding=1), nn.SiLU(), nn.Flatten(),
            nn.Linear(16 * ((H + 1) // 2) * ((W + 1) // 2), D), nn.SiLU(),
        )  # fmt: skip
        self.controller = nn.Sequential(
            nn.Linear(D + vector_size + action_size + 2 * POSE_WAVES * 3, D), nn.SiLU(),
        )  # fmt: skip
        self.to_write = nn.Linear(D, Address.size(E) + 2 * E)
        self.to_read = nn.Linear(D, Address.size(E))
        nn.init.normal_(self.move.weight, std=0.02)
        nn.init.zeros_(self.move.bias)

    def initial(self, batch_size: int, device: torch.device) -> MemoryState:
        """Returns the memory before any frame: all slots alike, both heads on the first."""
        S, E = self.config.num_slots, self.config.slot_width
        first = torch.zeros(batch_size, S, device=device)
        first[:, 0] = 1.0
        return MemoryState(
            torch.full((batch_size, S, E), EMPTY, device=device), first, first.clone(),
            torch.zeros(batch_size, 3, device=device),
        )  # fmt: skip

    def forward(
        self, state: MemoryState, latent_BCHW: Tensor, vector_BK: Tensor, action_BA: Tensor
    ) -> tuple[Tensor, MemoryState]:
        """Returns what is read for the next frame, (B, E), and the memory after a committed frame.

        Args:
            state: The memory before it.
            latent_BCHW: The frame's normalised latent.
            vector_BK: Its normalised vector.
            action_BA: The action taken on it.
        """
        E = self.config.slot_width
        motion = torch.cat([vector_BK, action_BA], -1)
        seen = torch.cat([self.see(latent_BCHW), motion, _waves(state.pose_BP)], -1)
        hidden = self.controller(seen)
        address, erase, add = self.to_write(hidden).split((Address.size(E), E, E), -1)
        both = zip(Address.of(address, E), Address.of(self.to_read(hidden), E), strict=True)
        key, strength, gate, shift, sharpness = (torch.stack(pair, 1) for pair in both)
        controls = Controls(key, strength, gate, shift, sharpness, erase.sigmoid(), add.tanh())
        before = torch.stack([state.write_BS, state.read_BS], 1)
        found, content, weight = ntm_step(state.content_BSE, before, controls)
        pose = moved(state.pose_BP, self.move(motion))
        return found, MemoryState(content, weight[:, 0], weight[:, 1], pose)

    def recall(self, latent_BTCHW: Tensor, vector_BTK: Tensor, action_BTA: Tensor) -> Tensor:
        """Returns what is read after each of T committed frames, (B, T, E), from an empty memory.

        Arguments as of `forward`, with the frames along the second axis.
        """
        state = self.initial(len(latent_BTCHW), latent_BTCHW.device)
        reads = []
        for t in range(latent_BTCHW.shape[1]):
            found, state = self(state, latent_BTCHW[:, t], vector_BTK[:, t], action_BTA[:, t])
            reads.append(found)
        return torch.stack(reads, 1)


def moved(pose_BP: Tensor, motion_BP: Tensor) -> Tensor:
    """Returns a pose (x, y, heading) after a motion (ahead, left, turn) in its own axes, (B, 3)."""
    x, y, heading = pose_BP.unbind(-1)
    ahead, left, turn = motion_BP.unbind(-1)
    cos, sin = heading.cos(), heading.sin()
    return torch.stack(
        [x + cos * ahead - sin * left, y + sin * ahead + cos * left, heading + turn], -1
    )


def _waves(pose_BP: Tensor) -> Tensor:
    """Returns sines and cosines of a pose, (B, 2 · 3 · POSE_WAVES); the heading's are of 1 to 4."""
    order = torch.arange(POSE_WAVES, device=pose_BP.device, dtype=pose_BP.dtype)
    place = 2.0 * torch.pi / (LONGEST_WAVE / 4.0**order)
    frequency = torch.stack([place, place, order + 1.0])
    angle = (pose_BP[..., None] * frequency).flatten(-2)
    return torch.cat([angle.sin(), angle.cos()], -1)
