"""A world model with known dynamics: a car on a straight road, and a wall in the latent.

The state vector is the driving state; every entry but speed, yaw rate, lateral offset and heading
error stays as it is. One metre ahead of the wall shows as 0.1 in the latent's first element.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dreamdrive.driving.causes import TERMINATION_CAUSES
from dreamdrive.driving.state import STATE_FIELDS, STATE_INDEX
from dreamdrive.worldmodel.state import LAG, Imagined, RolloutState

DT_S = 0.1
ACCELERATION_MPS2 = 4.0
YAW_GAIN = 0.1
ROAD_HALF_WIDTH_M = 3.0
WALL_SCALE = 0.1
END_M = 10.0
NO_WALL_M = 100.0
SPEED, RATE, OFFSET, HEADING, LIMIT = (
    STATE_INDEX[name]
    for name in ("speed", "yaw_rate", "lateral_offset", "heading_error", "speed_limit")
)


class NoMemory(NamedTuple):
    number_B: Tensor


@dataclass(frozen=True)
class PointMassConfig:
    causes: tuple[str, ...] = TERMINATION_CAUSES
    vector_names: tuple[str, ...] = tuple(field.name for field in STATE_FIELDS)
    vector_size: int = len(STATE_FIELDS)
    action_size: int = 2
    image_size: int = 64
    interface: None = None
    reward_scale: float = 1.0
    latent_shape: tuple[int, int, int] = (1, 2, 2)


class PointMassWorld:
    """Speaks the language of `WorldModel`; an end weighs as much as 10 m of progress."""

    def __init__(self, *, reward_scale: float = 0.1) -> None:
        self.config = PointMassConfig()
        self.latent_shape = self.config.latent_shape
        self.reward_scale = reward_scale
        self.vector_mean = torch.zeros(self.config.vector_size)
        self.vector_std = torch.ones(self.config.vector_size)
        self.vector_mean[SPEED], self.vector_std[SPEED] = 5.0, 3.0
        self.vector_mean[LIMIT], self.vector_std[LIMIT] = 8.0, 3.0
        self.vector_std[HEADING] = 0.3
        self.device = torch.device("cpu")

    def init_state(self, batch_size: int) -> RolloutState:
        return RolloutState(
            torch.zeros(batch_size, *self.latent_shape),
            torch.zeros(batch_size, self.config.vector_size),
            NoMemory(torch.zeros(batch_size)), torch.zeros(batch_size, 1),
            torch.zeros(batch_size, 1), torch.zeros(batch_size, LAG, *self.latent_shape),
        )  # fmt: skip

    def start(
        self,
        batch_size: int,
        *,
        speed: float = 5.0,
        wall_m: float = NO_WALL_M,
        generator: torch.Generator | None = None,
        spread: float = 0.0,
    ) -> RolloutState:
        state = self.init_state(batch_size)
        vector = state.vector_BK.clone()
        vector[:, SPEED], vector[:, LIMIT] = speed, 8.0
        if generator is not None:
            vector[:, OFFSET] = spread * torch.randn(batch_size, generator=generator)
            vector[:, HEADING] = 0.2 * spread * torch.randn(batch_size, generator=generator)
            vector[:, SPEED] = 8.0 * torch.rand(batch_size, generator=generator)
        latent = torch.zeros_like(state.latent_BCHW)
        latent[:, 0, 0, 0] = WALL_SCALE * wall_m
        return state.beginning_with(latent)._replace(vector_BK=vector)

    def encode_stream(self, image_BCHW: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """The top left pixel's red channel is the wall's distance in units of 100 m."""
        latent = torch.zeros(len(image_BCHW), *self.latent_shape)
        latent[:, 0, 0, 0] = WALL_SCALE * 100.0 * image_BCHW[:, 0, 0, 0]
        return latent, cache + 1.0

    def observe(
        self,
        state: RolloutState,
        image_BCHW: Tensor,
        vector_BK: Tensor,
        action_BA: Tensor | None = None,
    ) -> RolloutState:
        latent, cache = self.encode_stream(image_BCHW, state.encoder_cache)
        follow = state.beginning_with if action_BA is None else state.followed_by
        return follow(latent)._replace(vector_BK=vector_BK, encoder_cache=cache)

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
        before, latent = state.vector_BK, state.latent_BCHW
        speed = (before[:, SPEED] + DT_S * ACCELERATION_MPS2 * action_BA[:, 1]).clamp(min=0.0)
        rate = YAW_GAIN * before[:, SPEED] * action_BA[:, 0]
        heading = before[:, HEADING] + DT_S * rate
        offset = before[:, OFFSET] + DT_S * speed * torch.sin(heading)
        gained = DT_S * speed * torch.cos(heading)
        columns = {SPEED: speed, RATE: rate, OFFSET: offset, HEADING: heading}
        vector = torch.stack(
            [columns.get(i, before[:, i]) for i in range(self.config.vector_size)], 1
        )
        seen = latent.clone()
        seen[:, 0, 0, 0] = latent[:, 0, 0, 0] - WALL_SCALE * gained
        hit = torch.sigmoid(-seen[:, 0, 0, 0] / WALL_SCALE / 0.2)
        off = torch.sigmoid((offset.abs() - ROAD_HALF_WIDTH_M) / 0.2) * (1.0 - hit)
        none = torch.zeros_like(hit)
        causes = {"collision_static": hit, "off_road": off}
        termination = torch.stack([causes.get(name, none) for name in self.config.causes], 1)
        ended = hit + off
        over = ((speed - vector[:, LIMIT]) / 2.23).clamp(0.0, 1.0)
        reward = self.reward_scale * ((1.0 - ended) * gained * (1.0 - over) - END_M * ended)
        state = state.followed_by(seen)._replace(vector_BK=vector)
        return state, Imagined(seen, vector, reward, termination, none)


def good_driver(state: RolloutState) -> Tensor:
    """Returns the action of a hand-made controller that holds lane and speed limit."""
    v = state.vector_BK
    heading_wanted = (-0.5 * v[:, OFFSET]).clamp(-0.4, 0.4)
    steer = 2.0 * (heading_wanted - v[:, HEADING])
    pedal = (v[:, LIMIT] - v[:, SPEED]) / (DT_S * ACCELERATION_MPS2)
    return torch.stack([steer, pedal], 1).clamp(-1.0, 1.0)
