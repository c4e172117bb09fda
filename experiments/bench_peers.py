"""Environments of others, stepped beside this project's dream: what people would use instead.

None of them belongs to this project. A peer is an installed package or a checkout that is given by
its path, at the sizes of its own default configuration, with weights as they are drawn: what it
costs does not depend on what it learned. Each runs in a process of its own, on one thread: run as a
program, `python -m dreamdrive.experiments.bench_peers NAME=PATH SECONDS`, this writes its rows as
JSON. That takes PyTorch and this package alone, so that a peer can have an interpreter of its own.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

from dreamdrive.errors import ConfigError

SIZE = 64
"""Height and width of a frame, where a peer has a choice."""
WARM_UP_STEPS = 2

QUOTED = (
    {
        "peer": "CARLA's Unreal server under CarDreamer", "steps_per_s": "4 to 14",
        "why": "not measured here: 15,000 steps an hour on an RTX 3090 and 50,000 on a 4090, "
        "training included, as told in issue 35 of ucd-dare/CarDreamer",
    },
)  # fmt: skip


class Peer(NamedTuple):
    """One row: how many environments, and what steps them all once."""

    batch: int
    step: Callable[[], Any]
    what: str


def measure_peer(told: str, seconds: float) -> list[dict[str, Any]]:
    """Returns the rows of a peer, NAME or NAME=PATH[:PATH].

    Raises:
        ConfigError: If it cannot be imported or stepped, with its own reason.
    """
    name, _, path = told.partition("=")
    sys.path[:0] = [part for part in path.split(":") if part]
    torch.set_num_threads(1)
    rows = []
    try:
        for peer in PEERS[name]():
            for _ in range(WARM_UP_STEPS):
                peer.step()
            taken: list[float] = []
            deadline = time.perf_counter() + seconds
            while not taken or time.perf_counter() < deadline:
                began = time.perf_counter()
                peer.step()
                taken.append(time.perf_counter() - began)
            rows.append(
                {
                    "peer": name, "batch": peer.batch, "steps_per_s": peer.batch / min(taken),
                    "why": f"{peer.what}; torch {torch.__version__}",
                }
            )  # fmt: skip
    except Exception as error:
        raise ConfigError(f"{name} cannot be stepped: {type(error).__name__}: {error}") from error
    return rows


def diamond() -> list[Peer]:
    """DIAMOND's `WorldModelEnv` (Alonso et al. 2024), Atari sizes, 3 Euler steps a frame."""
    # DIAMOND's folder `envs`, which is not this project's.
    theirs = importlib.import_module("envs.world_model_env")
    from models.diffusion import (
        Denoiser,
        DenoiserConfig,
        DiffusionSamplerConfig,
        InnerModelConfig,
    )
    from models.rew_end_model import RewEndModel, RewEndModelConfig

    inner = InnerModelConfig(
        img_channels=3, num_steps_conditioning=4, cond_channels=256, depths=[2] * 4,
        channels=[64] * 4, attn_depths=[0] * 4, num_actions=4,
    )  # fmt: skip
    denoiser = Denoiser(
        DenoiserConfig(inner_model=inner, sigma_data=0.5, sigma_offset_noise=0.3)
    ).eval()
    ends = RewEndModel(
        RewEndModelConfig(
            lstm_dim=512, img_channels=3, img_size=SIZE, cond_channels=128, depths=[2] * 4,
            channels=[32] * 4, attn_depths=[0] * 4, num_actions=4,
        )
    ).eval()  # fmt: skip
    sampler = DiffusionSamplerConfig(
        num_steps_denoising=3, sigma_min=2e-3, sigma_max=5.0, rho=7, order=1, s_churn=0.0,
        s_tmin=0.0, s_tmax=float("inf"), s_noise=1.0,
    )  # fmt: skip

    def peer(batch: int) -> Peer:
        class Loader:
            batch_sampler = SimpleNamespace(batch_size=batch)

            def __iter__(self) -> Any:
                frames = torch.rand(batch, 4, 3, SIZE, SIZE) * 2.0 - 1.0
                while True:
                    yield SimpleNamespace(obs=frames, act=torch.zeros(batch, 4, dtype=torch.long))

        config = theirs.WorldModelEnvConfig(
            horizon=10**9, num_batches_to_preload=1, diffusion_sampler=sampler
        )
        env = theirs.WorldModelEnv(denoiser, ends, Loader(), config)
        env.reset()
        action = torch.zeros(batch, dtype=torch.long)
        return Peer(batch, lambda: env.step(action), f"pixels {SIZE} x {SIZE}, 3 denoising steps")

    return [peer(1), peer(16)]


def dreamer4() -> list[Peer]:
    """The package `dreamer4`: its wrapper around the dynamics, with the cache of keys it keeps."""
    from dreamer4 import DynamicsWorldModel, VideoTokenizer
    from dreamer4.env import DynamicsWorldModelWrapper

    # Without the perceptual loss, whose weights it would download.
    tokenizer = VideoTokenizer(
        dim=512,
        dim_latent=32,
        patch_size=8,
        image_height=SIZE,
        image_width=SIZE,
        lpips_loss_weight=0.0,
    )
    model = DynamicsWorldModel(
        dim=512, dim_latent=32, video_tokenizer=tokenizer, num_discrete_actions=4
    )
    env = DynamicsWorldModelWrapper(model, num_generation_steps=4)
    env.reset(batch_size=1)
    return [Peer(1, lambda: env.step(0), f"pixels {SIZE} x {SIZE}, 4 steps, cache of keys")]


def torchrl_rssm() -> list[Peer]:
    """TorchRL's `RSSMPrior`, a step of imagination without reward, end or picture."""
    from torchrl.data import Bounded
    from torchrl.modules.models.model_based import RSSMPrior

    prior = RSSMPrior(Bounded(-1.0, 1.0, (2,)), action_dim=2).eval()

    def peer(batch: int) -> Peer:
        state, belief, action = (torch.zeros(batch, n) for n in (30, 200, 2))

        def step() -> None:
            nonlocal state, belief
            with torch.no_grad():
                _, _, state, belief = prior(state, belief, action)

        return Peer(batch, step, "latent state alone: no reward, no end, no picture")

    return [peer(1), peer(16)]


def car_racing() -> list[Peer]:
    """Gymnasium's `CarRacing-v3`, which draws 96 x 96 pixels."""
    import gymnasium

    env = gymnasium.make("CarRacing-v3")
    env.reset(seed=0)
    action = env.action_space.sample() * 0.0

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()

    return [Peer(1, step, "pixels 96 x 96, not a learned model")]


def metadrive() -> list[Peer]:
    """MetaDrive's top-down environment."""
    from metadrive.envs.top_down_env import TopDownMetaDrive

    env = TopDownMetaDrive(
        {"use_render": False, "resolution_size": SIZE, "log_level": 50, "traffic_density": 0.1}
    )
    env.reset()

    def step() -> None:
        _, _, terminated, truncated, _ = env.step([0.0, 0.2])
        if terminated or truncated:
            env.reset()

    return [Peer(1, step, f"five channels of {SIZE} x {SIZE}, not a learned model")]


PEERS: Mapping[str, Callable[[], list[Peer]]] = {
    "diamond": diamond, "dreamer4": dreamer4, "torchrl-rssm": torchrl_rssm,
    "car-racing": car_racing, "metadrive": metadrive,
}  # fmt: skip


def main() -> None:
    """Writes the rows of the peer that the arguments name."""
    try:
        rows = measure_peer(sys.argv[1], float(sys.argv[2]))
    except ConfigError as error:
        sys.exit(str(error).splitlines()[0])
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
