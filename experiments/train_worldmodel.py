"""Trains dynamics and heads on the latents of a trained tokenizer.

Two phases, one loop: flow matching on whole windows, then rollouts that feed predictions back, if
asked for with dreams that never stop (`far_dreams`). Classical dynamics have one phase.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from dreamdrive.config import from_dict, to_dict
from dreamdrive.envs.dream.contexts import Contexts
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.devices import device_of
from dreamdrive.experiments.far_dreams import FarDreams
from dreamdrive.experiments.latent_table import LatentTable
from dreamdrive.experiments.quantities import (
    Quantity,
    quantities_of,
    quantity_names,
    telling,
)
from dreamdrive.experiments.run import RunLog, begin_run
from dreamdrive.experiments.surroundings import (
    Surrounding,
    surrounding_names,
    surroundings_of,
)
from dreamdrive.experiments.training_report import Speed, report_dream, report_weights
from dreamdrive.experiments.training_state import TrainingState
from dreamdrive.experiments.training_step import Ways, held_out_loss, window_loss
from dreamdrive.worldmodel.adversary import AdversaryConfig, Critic
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.fitting import check_episodes
from dreamdrive.worldmodel.jepa import Jepa, JepaConfig
from dreamdrive.worldmodel.losses import Batch, LossConfig
from dreamdrive.worldmodel.mdnrnn import MDNRNNConfig
from dreamdrive.worldmodel.model import Kind, WorldModel, WorldModelConfig
from dreamdrive.worldmodel.packed import has_packed_products
from dreamdrive.worldmodel.presets import Preset
from dreamdrive.worldmodel.quick import quicken_products
from dreamdrive.worldmodel.recurrent import RecurrentConfig
from dreamdrive.worldmodel.rssm import RSSMConfig
from dreamdrive.worldmodel.transformer import TransformerDynamics


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainWorldModelConfig:
    """How to train the dynamics."""

    data: tuple[Path, ...] = (Path("data/train"),)
    """Folders of episodes."""
    held_out: tuple[Path, ...] = ()
    """Folders of episodes that nothing is learned from: the loss on them is logged at every save,
    as `held_out_…`. Where it rises while training's falls, episodes are learned by heart."""
    init: Path = Path("runs/tokenizer/model")
    """A world model whose tokenizer is trained; with `fine_tune`, one that is trained whole."""
    out: Path = Path("runs/worldmodel")
    """Run folder; the model goes to `out/model`."""
    kind: Kind = "transformer"
    """What predicts the next frame: the diffusion transformer, or a classical model beside it."""
    fine_tune: bool = False
    """Go on from the dynamics in `init` instead of new ones."""
    normalise_latents: bool = True
    """Whether new dynamics see latents of unit variance per channel (Rombach et al. 2022,
    arXiv:2112.10752, appendix G), or as the tokenizer gives them."""
    steps: int = 8000
    rollout_share: float = 0.6
    """Share of the steps, at the end, that train on rollouts; all of them if recurrent."""
    batch_size: int = 32
    window: int = 16
    """Frames of a training window of the first phase."""
    context: int = 4
    """Frames that a training rollout sees."""
    horizon: int = 16
    """Most frames that a training rollout imagines at the end of the curriculum; each batch draws
    how many, since terminations end a rollout and shall be seen at each of its steps."""
    ending: float = 0.15
    """Share of the windows that end where an episode was terminated."""
    teacher_forcing: float = 0.5
    """Chance at the begin of the second phase that a frame is followed by the true one."""
    teacher_forcing_share: float = 0.25
    """Share of the second phase in which that chance falls to 0."""
    learning_rate: float = 1e-3
    engine: Literal["auto", "eager", "fused"] = "auto"
    """How rollouts are computed: by autograd, or with compiled loops and written-out gradients,
    faster on a processor and the same but for rounding; `auto` is fused where that can run."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products of a training step; weights, sums of losses and moments stay in 32 bits
    (Micikevicius et al. 2018, arXiv:1710.03740)."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`; `auto` is a GPU where there is one."""
    compile: bool = False
    """Compile the network first: some minutes and a C++ compiler, then faster where it is eager, in
    flow matching for one; fused rollouts do not use it."""
    quick: bool = True
    """Products by oneDNN on a processor that has it: the same but for rounding."""
    seed: int = 0
    save_every: int = 500
    surroundings: tuple[Surrounding, ...] = ()
    """What new dynamics are told of each episode, through AdaLN (DiT, arXiv:2212.09748, §3.2):
    `town`, `weather`. The command at the next junction is in the state. A dream takes them as
    `reset(options={"surroundings": {"town": ...}})`, and may leave them out."""
    quantities: tuple[Quantity, ...] = ()
    """What a head tells of each decision beside reward and termination: `motion`, the change of the
    ego's pose; `costs`, the terms of the cost that the episodes hold, after PlanT's (Renz et al.
    2022, arXiv:2210.14222). A dream gives them in `info["quantities"]`."""
    loss: LossConfig = field(default_factory=LossConfig)
    transformer: DynamicsConfig = field(default_factory=DynamicsConfig)
    """Sizes of new dynamics of the kind `transformer`."""
    jepa: JepaConfig = field(default_factory=JepaConfig)
    """What `--loss.jepa` foresees, if that is not 0."""
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    """Which dreams `--loss.adversarial` judges, if that is not 0, and by what."""
    recurrent: RecurrentConfig = field(default_factory=RecurrentConfig)
    """Sizes of new dynamics of the kind `recurrent`."""
    mdnrnn: MDNRNNConfig = field(default_factory=MDNRNNConfig)
    """Sizes of new dynamics of the kind `mdnrnn`, those of World Models."""
    rssm: RSSMConfig = field(default_factory=RSSMConfig)
    """Sizes of new dynamics of the kind `rssm`, those of DreamerV3."""

    @classmethod
    def begun_with(cls, preset: Preset) -> "TrainWorldModelConfig":
        """Returns the defaults with a preset's sizes."""
        return cls(transformer=preset.transformer)


MAY_CHANGE = ("steps", "save_every", "held_out", "engine", "compile", "quick")
"""Settings with which a run may go on that it did not begin with."""
SHOWN_WINDOWS, SHOWN_FRAMES = 3, 12
"""Windows whose dream TensorBoard shows, and frames of each."""


def new_dynamics(
    init: WorldModel, config: WorldModelConfig, seed: int, *, normalise_latents: bool = True
) -> WorldModel:
    """Returns a model with the tokenizer of `init` and untrained dynamics.

    Its statistics are those of `init`, but for latents that shall not be normalised.
    """
    torch.manual_seed(seed)
    model = WorldModel(config)
    kept = {name: value for name, value in init.state_dict().items()
            if not name.startswith(("dynamics.", "heads."))}  # fmt: skip
    missing = model.load_state_dict(kept, strict=False).unexpected_keys
    assert not missing, missing
    if not normalise_latents:
        model.latent_mean.zero_()
        model.latent_std.fill_(1.0)
    return model


def train_worldmodel(config: TrainWorldModelConfig, frames: LatentTable | None = None) -> Path:
    """Trains and returns the folder of the trained world model.

    The run resumes from `out/training` where that stands.

    Args:
        config: How to train.
        frames: What `encoded_frames` returns for `config.init` and `config.data`, where it is known
            from another training; without it the frames are encoded. Latents that are not
            normalised, and quantities, are not in it.

    Raises:
        ConfigError: If `out` holds a run of other settings.
        CheckpointError: If `init` is missing, damaged or of another shape.
        EpisodeError: If there are no episodes, or one is damaged.
        DivergedError: If a loss is not finite; the last saved state is intact.
        StorageError: If a checkpoint could not be written.
    """
    device = device_of(config.device) if frames is None else frames.table.device
    init = WorldModel.from_pretrained(config.init, device)
    if config.surroundings and (config.fine_tune or config.kind != "transformer"):
        raise ConfigError(
            "Only new dynamics of the kind 'transformer' can be told their surroundings",
            where="surroundings", do="Leave out --surroundings: a fine-tuning keeps what it knows.",
        )  # fmt: skip
    init.init_state(1)  # What compresses clips alone is refused before anything is read.
    sizes = init.config.transformer if config.fine_tune else config.transformer
    kind = init.config.kind if config.fine_tune else config.kind
    store = EpisodeStore(*config.data)
    check_episodes(store, init.config)
    table = frames.table if frames is not None else FrameTable.load(
        store, init.config.causes,
        may_lack_actions=kind == "transformer" and sizes.has_null_action,
    )  # fmt: skip
    begin_run(config.out, config, may_change=MAY_CHANGE)
    model = init
    if not config.fine_tune:
        fields = to_dict(init.config) | {"kind": config.kind}
        fields |= {name: to_dict(getattr(config, name)) for name in get_args(Kind)}
        fields["transformer"]["surroundings"] = surrounding_names(store, config.surroundings)
        model = new_dynamics(
            init, from_dict(WorldModelConfig, fields), config.seed,
            normalise_latents=config.normalise_latents,
        ).to(device)  # fmt: skip
    names = quantity_names(store, config.quantities) or model.config.quantities
    quantity_NQ = quantities_of(store, names) if names else None
    if quantity_NQ is not None:
        model = telling(model, names, quantity_NQ)
    model.requires_grad_(True)
    model.tokenizer.requires_grad_(False)
    told = None if quantity_NQ is None else quantity_NQ.to(device)
    data = frames or LatentTable(model, table.to(device), quantity_NQ=told)
    around = model.config.transformer.surroundings if model.config.kind == "transformer" else ()
    data.surroundings_EX = surroundings_of(store, around).to(device) if around else None
    trained = torch.nn.ModuleDict({"dynamics": model.dynamics, "heads": model.heads})
    if config.loss.jepa:
        torch.manual_seed(config.seed)
        trained["jepa"] = Jepa(config.jepa, model.dynamics.agent_size)
    if config.loss.adversarial:
        torch.manual_seed(config.seed)
        trained.update(judging(model, config))
    trained.to(device)
    state = TrainingState(
        trained, learning_rate=config.learning_rate, steps=config.steps, seed=config.seed
    )
    state.restore(config.out / "training")
    is_quick = config.quick and config.precision == "float32"  # Autocast chooses its own products.
    if is_quick and has_packed_products() and device.type == "cpu":
        quicken_products(trained)
    if config.compile and isinstance(model.dynamics, TransformerDynamics):
        network = model.dynamics.network
        network.forward = torch.compile(network.forward, dynamic=False)  # type: ignore[method-assign]
    ways, held_out = Ways.of(model, config), _held_out(model, config, around)
    shown, speed = _shown(data, config), Speed(device)
    with RunLog(config.out, "train worldmodel", config.steps) as log:
        while state.step < config.steps:
            loss, metrics = window_loss(model, data, config, state, ways)
            norm = state.update(loss)
            metrics = {"loss": float(loss.detach())} | metrics | {"grad_norm": norm}
            speed.add(int(metrics["frames"]))
            is_saved = state.step % config.save_every == 0 or state.step == config.steps
            if is_saved:
                metrics |= _speed(model, data, config, state, ways, speed)
                if held_out is not None:
                    with state.averaging():  # As they will be saved.
                        metrics |= held_out_loss(model, held_out, config, state.step, ways)
            log(state.step, metrics)
            if is_saved:
                state.save(config.out / "training", to_dict(config))
                report_weights(log, state.step, trained.named_children())
                report_dream(log, state.step, model, *shown)
    averaged(model, state).save_pretrained(
        config.out / "model", step=state.step, seconds=round(state.seconds),
        **facts_of(table, config.data),
    )  # fmt: skip
    Contexts.choose(data.table.to("cpu"), seed=config.seed).save(config.out / "model")
    return config.out / "model"


def judging(model: WorldModel, config: TrainWorldModelConfig) -> dict[str, torch.nn.Module]:
    """Returns a critic of far dreams, and the dreams.

    Raises:
        ConfigError: If the model never trains on dreams of its own.
    """
    if model.config.kind in ("mdnrnn", "rssm"):
        raise ConfigError(
            f"There are no dreams to judge in the training of the kind {model.config.kind!r}",
            where="loss.adversarial", do="Set it to 0, or train a transformer.",
        )  # fmt: skip
    critic = Critic(
        config.adversary, latent_shape=model.latent_shape, vector_size=model.config.vector_size,
        action_size=model.config.action_size,
    )  # fmt: skip
    return {"critic": critic, "dreams": FarDreams(model, config.adversary, config.context)}


def facts_of(table: FrameTable, folders: Sequence[Path]) -> dict[str, Any]:
    """Returns what a model's header says of its data."""
    return {
        "data": [str(folder) for folder in folders], "episodes": len(table.length_E),
        "frames": len(table), "drivers": sorted({name for name in table.drivers if name}),
    }  # fmt: skip


def _held_out(
    model: WorldModel, config: TrainWorldModelConfig, around: tuple[str, ...]
) -> LatentTable | None:
    """Returns the frames that nothing is learned from, if there are some."""
    if not config.held_out:
        return None
    store = EpisodeStore(*config.held_out)
    check_episodes(store, model.config)
    table = FrameTable.load(store, model.config.causes).to(model.device)
    longest = max(config.window, config.context + config.horizon)
    table.windows(1, longest, torch.Generator(model.device))  # Too short: refused before training.
    names = model.config.quantities
    told = quantities_of(store, names).to(model.device) if names else None
    data = LatentTable(model, table, quantity_NQ=told)
    data.surroundings_EX = surroundings_of(store, around).to(model.device) if around else None
    return data


def _shown(data: LatentTable, config: TrainWorldModelConfig) -> tuple[Batch, int]:
    """Returns the windows that TensorBoard shows, and how many frames of them the model sees."""
    longest = int(data.table.length_E.max())
    length = min(config.context + SHOWN_FRAMES, longest)
    rows = data.table.windows(
        SHOWN_WINDOWS, length, torch.Generator(data.table.device).manual_seed(0)
    )
    return data.batch(rows, with_images=True), min(config.context, length - 1)


def _speed(
    model: WorldModel, data: LatentTable, config: TrainWorldModelConfig, state: TrainingState,
    ways: Ways, speed: Speed,
) -> dict[str, float]:  # fmt: skip
    """Returns the speed since the last save; drawing and dreaming for it count for nothing."""
    drawn = state.generator.get_state()
    dreams = {name: x.clone() for name, x in state.module.named_buffers()}

    def loss() -> tuple[Tensor, int]:
        found, metrics = window_loss(model, data, config, state, ways)
        return found, int(metrics["frames"])

    found = speed.measure(loss)
    state.generator.set_state(drawn)
    state.module.load_state_dict(dreams, strict=False)
    return found


def averaged(model: WorldModel, state: TrainingState) -> WorldModel:
    """Returns a copy of the model with the moving average of its trained weights."""
    copy = WorldModel(model.config)
    own = model.state_dict()
    copy.load_state_dict(own | {name: x for name, x in state.ema.items() if name in own})
    return copy.eval().requires_grad_(False)
