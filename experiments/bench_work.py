"""What users wait for, timed in one version of this project: dreams, agents and models in training.

Run as a program, `python bench_work.py WAY SECONDS WORK...`, it measures the version that Python
finds, this one or a checkout of an earlier one that PYTHONPATH puts before it, and writes rows as
JSON. So it takes only names that both have, and a way where the version has ways.
"""

import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

CONTEXT = 6
"""Frames that a model sees before a dream, as `train agent` has it."""
DREAMS, WINDOWS, FRAMES = 64, 16, 8
"""Dreams of an agent's update; windows of a model's, and frames of each."""
ROLLED, ROLLED_FRAMES = 32, 14
"""Windows that a model's rollouts begin in and follow, as `train worldmodel` has them on average,
and frames of each, four of them seen."""

Work = tuple[str, int, Callable[[], Any]]
"""Its name, the frames that it makes, and what makes them; a float that comes out is a loss."""


def dreams(way: str) -> Iterator[Work]:
    """Yields steps of environments, with all that is around the model; ways are engines."""
    from dreamdrive.envs.dream.vector import DreamVectorEnv

    engine, _, precision = way.partition(", ")
    how: dict[str, Any] = {"engine": engine, "precision": precision or "float32"}
    if "engine" not in inspect.signature(DreamVectorEnv).parameters:
        how = {}
    for batch in (1, 16):
        for observations in ("pixels", "latent"):
            env: Any = DreamVectorEnv(batch, observations=observations, **how)
            env.reset(seed=0)
            action = np.zeros(env.action_space.shape, np.float32)

            def step(env: Any = env, action: Any = action) -> None:
                env.step(action)

            yield f"environments, {observations}, {batch}", batch, step


def agent(way: str) -> Iterator[Work]:
    """Yields updates of an agent as the main job trains it, their start states included.

    Ways: an engine and its precision, `packed`, or `packed, compiled` for an eager dream.
    """
    from dreamdrive.agents.actor_critic import ActorCritic, ActorCriticConfig
    from dreamdrive.worldmodel.losses import start_states
    from dreamdrive.worldmodel.model import WorldModel

    model = dream = WorldModel.from_pretrained()
    batch = windows(model, DREAMS, CONTEXT)
    how: dict[str, Any] = {}
    starts: dict[str, Any] = {}
    engine, _, precision = way.partition(", ")
    if engine == "fused":
        from dreamdrive.worldmodel.engine import build_step

        how = {"engine": engine, "precision": precision or "float32"}
        starts = {"imagine": build_step(model, DREAMS, **how)}
    elif engine == "packed":
        from dreamdrive.worldmodel.packed import packed

        dream = packed(model)
    if "compiled" in way:
        _compile(dream)
    learner: Any = ActorCritic(dream, ActorCriticConfig(), seed=0, **how)

    def update() -> float:
        told: float = learner.update(start_states(model, batch, **starts))["return"]
        return told

    yield "an agent's update", DREAMS * ActorCriticConfig().horizon, update


def model(way: str) -> Iterator[Work]:
    """Yields updates of a world model by flow matching; ways: `eager`, `quick`, and compiled."""
    from dreamdrive.worldmodel.losses import LossConfig, flow_loss
    from dreamdrive.worldmodel.model import WorldModel

    model = WorldModel.from_pretrained().requires_grad_(True)
    batch, generator = windows(model, WINDOWS, FRAMES), torch.Generator().manual_seed(0)
    trained = torch.nn.ModuleList([model.dynamics, model.heads])
    if "quick" in way:
        from dreamdrive.worldmodel.quick import quicken_products

        quicken_products(trained)
    if "compiled" in way:
        _compile(model)
    optimizer = torch.optim.AdamW(trained.parameters(), 1e-4)

    def update() -> float:
        loss, _ = flow_loss(model, batch, LossConfig(), generator)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss.detach())

    yield "a model's update", WINDOWS * FRAMES, update


def rollouts(way: str) -> Iterator[Work]:
    """Yields updates of a world model by its own rollouts, pictures included; ways are engines."""
    from dreamdrive.worldmodel.losses import LossConfig, rollout_loss
    from dreamdrive.worldmodel.model import WorldModel

    model = WorldModel.from_pretrained().requires_grad_(True)
    model.tokenizer.requires_grad_(False)
    batch, generator = windows(model, ROLLED, ROLLED_FRAMES), torch.Generator().manual_seed(0)
    how: dict[str, Any] = {}
    engine, _, precision = way.partition(", ")
    if engine == "fused":
        from dreamdrive.worldmodel.rolling import build_rolling

        how["rolling"] = build_rolling(
            model, ROLLED, ROLLED_FRAMES - 1, is_fused=True,
            precision=precision or "float32",  # type: ignore[arg-type]
        )  # fmt: skip
    optimizer = torch.optim.AdamW([*model.dynamics.parameters(), *model.heads.parameters()], 1e-4)

    def update() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(precision)):
            loss, _ = rollout_loss(model, batch, LossConfig(), generator, context=4, **how)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss.detach())

    yield "a model's update by rollouts", ROLLED * (ROLLED_FRAMES - 1), update


def _compile(model: Any) -> None:
    network = model.dynamics.network
    network.forward = torch.compile(network.forward, dynamic=False)


def windows(model: Any, count: int, frames: int) -> Any:
    """Returns windows of the frames that ship beside the model, over and over."""
    from dreamdrive.envs.dream.contexts import Contexts
    from dreamdrive.worldmodel.losses import Batch
    from dreamdrive.worldmodel.model import find_checkpoint

    kept = Contexts.load(find_checkpoint("dreamdrive-cpu"))
    rows, frame = torch.arange(count) % len(kept), torch.arange(frames).clamp(max=kept.length - 1)
    image = torch.from_numpy(kept.image)[rows][:, frame].movedim(-1, 2).float() / 255.0
    with torch.no_grad():
        latent = torch.cat([model.encode(part) for part in image.split(8)])
    vector = model.normalise_vector(torch.from_numpy(kept.vector)[rows][:, frame])
    action = torch.from_numpy(kept.action)[rows][:, frame]
    nothing = torch.zeros(count, frames)
    return Batch(latent, vector, action, nothing, nothing.long(), image)


WORK: dict[str, Callable[[str], Iterator[Work]]] = {
    "dreams": dreams, "agent": agent, "model": model, "rollouts": rollouts,
}  # fmt: skip


def measure(way: str, seconds: float, chosen: list[str]) -> list[dict[str, Any]]:
    """Returns a row for each work: the processor's seconds, the least of several, and its loss.

    The loss is that of the third time, when compilers have done and no two ways differ in what
    they have seen.
    """
    torch.set_num_threads(1)
    rows = []
    for name in chosen:
        for what, frames, work in WORK[name](way):
            told = [work() for _ in range(3)][-1]
            taken: list[float] = []
            deadline = time.perf_counter() + seconds
            while len(taken) < 3 or time.perf_counter() < deadline:
                began = time.process_time()
                work()
                taken.append(time.process_time() - began)
            rows.append({"what": what, "frames": frames, "seconds": min(taken), "told": told})
    return rows


if __name__ == "__main__":
    way, seconds, *chosen = sys.argv[1:]
    found = measure(way, float(seconds), chosen or list(WORK))
    sys.stdout.write(json.dumps(found) + "\n")
