"""Trains an agent in the dream: cloning first if wanted, then actor-critic on imagined rollouts."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dreamdrive.agents.actor_critic import ActorCritic, ActorCriticConfig
from dreamdrive.agents.artefact import load_critic, load_policy, save_policy
from dreamdrive.agents.cloning import BehaviourCloning, CloningConfig
from dreamdrive.agents.networks import Actor, Critic
from dreamdrive.checkpoint import load_header, load_tensors, save_checkpoint
from dreamdrive.config import to_dict
from dreamdrive.experiments.devices import device_of
from dreamdrive.experiments.latent_table import LatentTable
from dreamdrive.experiments.run import RunLog, begin_run
from dreamdrive.experiments.start_states import StartStates
from dreamdrive.experiments.training_state import restore_generator
from dreamdrive.experiments.untrained import randomised_dynamics, untrained_dynamics
from dreamdrive.worldmodel.engine import build_step, why_not
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.model import DEFAULT, WorldModel
from dreamdrive.worldmodel.packed import Precision, has_packed_products, packed
from dreamdrive.worldmodel.transformer import TransformerDynamics

GOOD_DRIVERS = ("expert",)
CONTROLS: dict[str, Callable[[WorldModel], WorldModel]] = {
    "none": lambda model: model,
    "untrained": untrained_dynamics,
    "randomised": randomised_dynamics,
}


MAY_CHANGE = ("updates", "save_every", "engine", "precision", "compile", "pack")
"""Settings that a run may go on with others of."""
GOING_ON = ActorCriticConfig(actor_rate=3e-4)
"""For an agent that goes on from a trained one: at the rate that suits a clone it unlearns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainAgentConfig:
    """How to train an agent."""

    model: str = DEFAULT
    """A shipped world model's name, or a checkpoint's folder."""
    data: tuple[Path, ...] = (Path("data/train"),)
    """Folders of episodes, for the frames that dreams begin with and for cloning."""
    control: Literal["none", "untrained", "randomised"] = "none"
    """Dream in a world that has learned nothing, to see what the trained dynamics are worth."""
    out: Path = Path("runs/agent")
    """Run folder; the policy goes to `out/policy`."""
    init: Path | None = None
    """A policy to go on from: a folder, or a shipped one's name."""
    clone: Literal["none", "expert", "all"] = "none"
    """Whose stored decisions the actor imitates before it dreams."""
    clone_steps: int = 2500
    clone_batch_size: int = 256
    updates: int = 300
    """Updates in the dream; 0 leaves the actor as it starts."""
    batch_size: int = 64
    """Dreams of an update."""
    num_starts: int = 4096
    """Windows that dreams begin with."""
    context: int = 6
    """Frames that the model sees before a dream."""
    busy: float = 0.7
    """Least share of the other dreams with traffic in view."""
    perilous: float = 0.3
    """Share of dreams that begin shortly before a recorded termination, to learn to avert it."""
    engine: Literal["auto", "eager", "fused"] = "auto"
    """How dreams are computed: `fused` both ways, frames and gradients, on a processor; `eager` by
    the model itself. `auto` is fused where that can run. The same but for rounding."""
    precision: Precision = "float32"
    """Of the fused dream's matrix products."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`; `auto` is a GPU where there is one."""
    compile: bool = False
    """Compile an eager dream first: some minutes and a C++ compiler, then faster."""
    pack: bool = True
    """Pack an eager dream's weights for oneDNN where PyTorch has it."""
    seed: int = 0
    save_every: int = 50
    agent: ActorCriticConfig = field(default_factory=ActorCriticConfig)
    cloning: CloningConfig = field(default_factory=CloningConfig)


def train_agent(config: TrainAgentConfig) -> Path:
    """Trains and returns the folder of the policy.

    The run resumes from `out/training`; `out/before` keeps the policy as it was before the first
    dream.

    Raises:
        ConfigError: If `out` holds a run of other settings.
        CheckpointError: If the world model or the policy to go on from is missing or broken.
        EpisodeError: If there are no episodes, or one is damaged.
        DivergedError: If a loss is not finite; the last saved state is intact.
        StorageError: If a checkpoint could not be written.
    """
    device = device_of(config.device)
    model = CONTROLS[config.control](WorldModel.from_pretrained(config.model, device))
    table = FrameTable.load(EpisodeStore(*config.data), model.config.causes).to(device)
    trained = None if config.init is None else _load(config.init, model)
    begin_run(config.out, config, may_change=MAY_CHANGE)
    actor, critic = trained or (_start(config, model, table), None)
    if not (config.out / "before" / "config.json").is_file():
        save_policy(config.out / "before", actor, model, step=0)
    prior = load_policy(config.out / "before", device)[0] if config.agent.prior > 0.0 else None
    engine = engine_of(config, model)
    is_packed = engine == "eager" and config.pack and has_packed_products()
    is_packed = is_packed and device.type == "cpu"
    dream = packed(model) if is_packed else model
    learner = ActorCritic(
        dream, config.agent, seed=config.seed, actor=actor, critic=critic, prior=prior,
        engine=engine, precision=config.precision,
    )  # fmt: skip
    imagine = None
    if engine == "fused":
        imagine = build_step(model, config.batch_size, engine, config.precision)
    generator = torch.Generator(device).manual_seed(config.seed)
    starts = StartStates.encode(
        model, table, count=config.num_starts, context=config.context, busy=config.busy,
        perilous=config.perilous, generator=generator,
    )  # fmt: skip
    step = _restore(config.out / "training", learner, generator)
    if config.compile and engine == "eager" and isinstance(dream.dynamics, TransformerDynamics):
        network = dream.dynamics.network
        network.forward = torch.compile(network.forward, dynamic=False)  # type: ignore[method-assign]
    with RunLog(config.out, "train agent", config.updates, "update") as log:
        while step < config.updates:
            metrics = learner.update(starts.sample(config.batch_size, generator, imagine))
            step += 1
            log(step, metrics)
            if step % config.save_every == 0 or step == config.updates:
                _save(config.out / "training", learner, generator, step, config)
                save_policy(
                    config.out / "policy", learner.mean_actor, model, learner.critic, step=step,
                    **{name: metrics[name] for name in ("return", "survival")},
                )  # fmt: skip
    if config.updates == 0:
        save_policy(config.out / "policy", learner.mean_actor, model, learner.critic, step=0)
    return config.out / "policy"


def engine_of(config: TrainAgentConfig, model: WorldModel) -> Literal["eager", "fused"]:
    """Returns how dreams are computed: as asked, or fused where that can run."""
    if config.engine != "auto":
        return config.engine
    takes_steps = config.agent.gradient == "dynamics" and config.agent.num_steps > 1
    return "eager" if takes_steps or why_not(model, "fused") else "fused"


def _load(policy: Path, model: WorldModel) -> tuple[Actor, Critic]:
    """Returns actor and critic of a trained policy, to go on from."""
    actor, critic = load_policy(policy, model.device)[0], load_critic(policy, model)
    return actor.train().requires_grad_(True), critic.train().requires_grad_(True)


def _start(config: TrainAgentConfig, model: WorldModel, table: FrameTable) -> Actor:
    """Returns the actor to begin with: that of the run that goes on, a clone, or a new one."""
    before = config.out / "before"
    if (before / "config.json").is_file():
        return load_policy(before, model.device)[0].train().requires_grad_(True)
    if config.clone == "none":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return Actor.for_model(model, config.agent.network)
    return clone(config, model, table)


def clone(config: TrainAgentConfig, model: WorldModel, table: FrameTable) -> Actor:
    """Returns an actor that imitates stored decisions."""
    cloning = CloningConfig(
        network=config.agent.network, rate=config.cloning.rate,
        weight_decay=config.cloning.weight_decay, clip=config.cloning.clip,
    )  # fmt: skip
    learner = BehaviourCloning(model, cloning, seed=config.seed)
    chosen = [
        episode
        for episode, driver in enumerate(table.drivers)
        if config.clone == "all" or driver in GOOD_DRIVERS
    ]
    data = LatentTable(model, table, episodes=chosen)
    # The decision on a frame stands at the frame that it led to.
    before = data.decision_rows()
    generator = torch.Generator(model.device).manual_seed(config.seed)
    shape = (config.clone_batch_size,)
    with RunLog(config.out / "cloning", "clone", config.clone_steps) as log:
        for step in range(1, config.clone_steps + 1):
            pick = torch.randint(len(before), shape, generator=generator, device=model.device)
            row = before[pick]
            metrics = learner.update(
                data.seen(row), data.table.vector_NK[row], data.table.action_NA[row + 1]
            )
            log(step, metrics)
    return learner.actor


def _save(
    folder: Path, learner: ActorCritic, generator: torch.Generator, step: int,
    config: TrainAgentConfig,
) -> None:  # fmt: skip
    tensors: dict[str, dict[str, Tensor]] = {}
    facts: dict[str, Any] = {}
    for name, part in learner.state().items():
        flat = dict(_flatten(part if isinstance(part, Mapping) else {"value": part}))
        tensors[name] = {key: v for key, v in flat.items() if isinstance(v, Tensor)}
        facts[name] = {key: v for key, v in flat.items() if not isinstance(v, Tensor)}
    tensors["starts_generator"] = {"value": generator.get_state()}
    tensors = {name: part for name, part in tensors.items() if part}
    save_checkpoint(
        folder, "AgentTraining", to_dict(config), tensors, step=step, facts=json.dumps(facts)
    )


def _restore(folder: Path, learner: ActorCritic, generator: torch.Generator) -> int:
    """Goes on from a folder that `_save` wrote; returns the step, 0 where there is none.

    Raises:
        ConfigError: If it was written on another kind of device.
    """
    if not (folder / "config.json").is_file():
        return 0
    header = load_header(folder, "AgentTraining")
    restore_generator(generator, load_tensors(folder, "starts_generator")["value"], folder)
    facts = json.loads(header["facts"])
    state = {}
    for name, part in learner.state().items():
        flat = dict(facts[name])
        if (folder / f"{name}.safetensors").is_file():
            flat |= load_tensors(folder, name)
        state[name] = _fill(part, flat) if isinstance(part, Mapping) else flat["value"]
    learner.load_state(state)
    return int(header["step"])


def _flatten(part: Any, prefix: str = "") -> Any:
    """Yields (path, leaf) of nested dicts and lists."""
    items = part.items() if isinstance(part, Mapping) else enumerate(part)
    for key, value in items:
        path = f"{prefix}{key}"
        if isinstance(value, Mapping | list | tuple):
            yield from _flatten(value, f"{path}/")
        else:
            yield path, value


def _fill(like: Mapping[str, Any], flat: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an optimiser's or module's state from its flat form."""
    if "param_groups" not in like:
        return dict(flat)
    moments: dict[int, dict[str, Any]] = {}
    for path, value in flat.items():
        if path.startswith("state/"):
            _, index, name = path.split("/", 2)
            moments.setdefault(int(index), {})[name] = value
    return {"state": moments, "param_groups": like["param_groups"]}
