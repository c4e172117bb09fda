"""The main job from end to end: collect, learn, dream, train in the dream, evaluate outside it.

Each stage is a command of its own on the same files; what it is given stands in the `run.json` of
its folder.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from dreamdrive.config import to_dict
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.run import begin_run, console, duration
from dreamdrive.files import write_atomically

QUICK_FOLDER, FULL_FOLDER = Path("runs/demo-quick"), Path("runs/demo-full")
TOWN = "Dream07"
"""The town of the evaluation, which neither the shipped model nor this run learns from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """Which demonstration, and where to."""

    quick: bool = False
    """At most two minutes instead of ten, at lower quality."""
    out: Path | None = None
    """Run folder; runs/demo-quick or runs/demo-full by default."""
    model: Path = Path("dreamdrive-cpu")
    """The world model to begin with: a shipped checkpoint's name, or a folder."""
    agent: Path = Path("dreamdrive-cpu-agent")
    """The agent that goes on in the fine-tuned dream: a shipped one's name, or a folder. It must
    have been trained with `model`."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the seed.

        Raises:
            ConfigError: If it is negative.
        """
        if self.seed < 0:
            raise ConfigError(f"A seed must be at least 0, got {self.seed}", where="seed")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.out or (QUICK_FOLDER if self.quick else FULL_FOLDER)

    @property
    def sizes(self) -> "Sizes":
        """How much each stage does."""
        return QUICK if self.quick else FULL


class Sizes(NamedTuple):
    """How much each stage does; `expected_s` is about what it takes on two cores."""

    episodes: int
    unseen_episodes: int
    max_steps: int
    tune_steps: int
    clone_steps: int
    updates: int
    dreams: int
    starts: int
    routes: int
    route_length_m: tuple[float, float]
    plans: int
    look_ahead: int
    expected_s: tuple[int, ...]


QUICK = Sizes(
    episodes=16, unseen_episodes=4, max_steps=120, tune_steps=25, clone_steps=150, updates=14,
    dreams=32, starts=512, routes=1, route_length_m=(80.0, 140.0), plans=4, look_ahead=10,
    expected_s=(2, 22, 26, 2, 29, 33, 2),
)  # fmt: skip
FULL = Sizes(
    episodes=80, unseen_episodes=8, max_steps=250, tune_steps=120, clone_steps=600, updates=80,
    dreams=64, starts=2048, routes=4, route_length_m=(100.0, 200.0), plans=8, look_ahead=15,
    expected_s=(5, 50, 160, 5, 210, 120, 5),
)  # fmt: skip


class Stage(NamedTuple):
    """One stage: its name, what it does in words, the seconds it may take, and the work."""

    name: str
    words: str
    expected_s: float
    work: Callable[[], Path]


def demo(config: DemoConfig) -> Path:
    """Runs the stages that are not done yet and returns the path of the report.

    Raises:
        ConfigError: If the folder holds a demonstration with other settings, or the agent sees
            through another tokenizer than the model's.
        DreamdriveError: As the stages do; what is done stays done.
    """
    _check_agent(config)
    _claim(config)
    began = time.monotonic()
    report = run_stages(config.folder, _stages(config))
    console.print(f"[bold green]Done[/] in {duration(time.monotonic() - began)}.")
    console.print(f"Open {report.resolve().as_uri()}", markup=False, highlight=False)
    return report


def run_stages(folder: Path, stages: Sequence[Stage]) -> Path:
    """Does the stages in order and returns the result of the last.

    A stage that is done leaves `stages/NAME.json`, and is not done again.
    """
    result = folder
    for number, stage in enumerate(stages, start=1):
        mark = folder / "stages" / f"{stage.name}.json"
        headline = f"{number}/{len(stages)} {stage.name}"
        done = _result_of(mark)
        if done is not None:
            console.print(f"[bold cyan]{headline}[/] done before: {done}", highlight=False)
            result = done
            continue
        console.print(
            f"\n[bold cyan]{headline}[/] {stage.words} (about {duration(stage.expected_s)})",
            highlight=False,
        )
        began = time.monotonic()
        result = stage.work()
        seconds = round(time.monotonic() - began, 1)
        facts = {"seconds": seconds, "result": str(result)}
        write_atomically(mark, (json.dumps(facts) + "\n").encode())
        left = sum(later.expected_s for later in stages[number:])
        rest = f"; about {duration(left)} left" if left else ""
        console.print(f"[green]{headline}[/] took {duration(seconds)}{rest}", highlight=False)
    return result


def _result_of(mark: Path) -> Path | None:
    """Returns what a finished stage made, or None if it is not finished or that is gone."""
    try:
        result = Path(json.loads(mark.read_text())["result"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if result.exists() else None


def _check_agent(config: DemoConfig) -> None:
    """Raises a ConfigError unless the agent can read the latents of the model."""
    from dreamdrive.agents.artefact import find_worldmodel
    from dreamdrive.worldmodel.model import WorldModel

    own, seen = (
        WorldModel.from_pretrained(folder).tokenizer.state_dict()
        for folder in (config.model, find_worldmodel(config.agent))
    )
    if own.keys() != seen.keys() or any(not own[name].equal(seen[name]) for name in own):
        raise ConfigError(
            f"The agent {config.agent} sees through another tokenizer than that of {config.model}",
            where="agent", do="Give --agent a policy that was trained with this model.",
        )  # fmt: skip


def _claim(config: DemoConfig) -> None:
    """Writes the config into the folder, unless another demonstration lives there."""
    path = config.folder / "run.json"
    try:
        found = json.loads(path.read_text())["config"]
    except FileNotFoundError:
        found = None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"This folder is no demonstration: {error!r}", where=path, do="Choose another --out."
        ) from error
    if found not in (None, to_dict(config)):
        raise ConfigError(
            "This folder holds a demonstration with other settings", where=config.folder,
            do="Choose another --out, or delete the folder to begin again.",
        )  # fmt: skip
    begin_run(config.folder, config)


def _stages(config: DemoConfig) -> list[Stage]:
    """Returns the stages; each loads what it needs when it begins."""
    parts: tuple[tuple[str, str, Callable[[DemoConfig], Path]], ...] = (
        ("serve", "Does the embedded server answer CARLA's client?", _serve),
        ("collect", "New episodes through the client, with good and bad drivers", _collect),
        ("worldmodel", "Fine-tunes the shipped world model on them", _train_worldmodel),
        ("dream", f"Films the dream beside reality, in {TOWN}, which it never saw", _dream),
        ("agent", "A clone to compare with; the shipped agent goes on in the dream", _train_agent),
        ("evaluate", f"Agent, planner and yardsticks on routes of {TOWN}", _evaluate),
        ("report", "Writes the report", _report),
    )
    return [
        Stage(name, words, seconds, lambda work=work: work(config))  # type: ignore[misc]
        for (name, words, work), seconds in zip(parts, config.sizes.expected_s, strict=True)
    ]


def _serve(config: DemoConfig) -> Path:
    from dreamdrive.envs.carla.client import CLIENT_VERSION
    from dreamdrive.envs.carla.session import Session, SessionConfig
    from dreamdrive.envs.carla.supervisor import ServerSupervisor
    from dreamdrive.experiments.doctor import per_second

    with ServerSupervisor(TOWN) as supervisor:
        session = Session(SessionConfig(port=supervisor.ensure_ready()))
        try:
            ticks = per_second(session.tick, 1.0)
        finally:
            session.close()
    console.print(f"CARLA {CLIENT_VERSION} answers: {ticks:,.0f} ticks/s, empty", highlight=False)
    path = config.folder / "server.json"
    write_atomically(path, (json.dumps({"ticks_per_s": round(ticks)}) + "\n").encode())
    return path


def _collect(config: DemoConfig) -> Path:
    from dreamdrive.experiments.collect import CollectConfig, collect

    sizes = config.sizes
    collect(
        CollectConfig(
            out=config.folder / "unseen", episodes=sizes.unseen_episodes, towns=(TOWN,),
            shares={"expert": 1.0}, max_steps=sizes.max_steps, seed=config.seed + 1, workers=2,
        )
    )  # fmt: skip
    return collect(
        CollectConfig(
            out=config.folder / "episodes", episodes=sizes.episodes, max_steps=sizes.max_steps,
            seed=config.seed, workers=2,
        )
    )  # fmt: skip


def _train_worldmodel(config: DemoConfig) -> Path:
    from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig, train_worldmodel

    # On the processor, as all of this: it is small, and what the README tells was made on one.
    # Gentle, since these are few episodes beside those that the model was trained on.
    return train_worldmodel(
        TrainWorldModelConfig(
            data=(config.folder / "episodes",), init=config.model, fine_tune=True,
            out=config.folder / "worldmodel", steps=config.sizes.tune_steps, rollout_share=1.0,
            learning_rate=1e-4, batch_size=16, save_every=20, seed=config.seed, device="cpu",
        )
    )  # fmt: skip


def _dream(config: DemoConfig) -> Path:
    from dreamdrive.experiments.dream import DreamConfig, dream

    return dream(
        DreamConfig(
            data=config.folder / "unseen", model=str(config.folder / "worldmodel" / "model"),
            out=config.folder / "dream", seed=config.seed,
        )
    )  # fmt: skip


def _train_agent(config: DemoConfig) -> Path:
    from dreamdrive.experiments.train_agent import GOING_ON, TrainAgentConfig, train_agent

    sizes = config.sizes
    cloning = TrainAgentConfig(
        model=str(config.folder / "worldmodel" / "model"), data=(config.folder / "episodes",),
        out=config.folder / "cloning", clone="expert", clone_steps=sizes.clone_steps, updates=0,
        batch_size=sizes.dreams, num_starts=sizes.dreams, save_every=5, seed=config.seed,
        device="cpu",
    )  # fmt: skip
    train_agent(cloning)
    return train_agent(
        replace(
            cloning, out=config.folder / "agent", init=config.agent, clone="none",
            updates=sizes.updates, num_starts=sizes.starts, agent=GOING_ON,
        )
    )  # fmt: skip


def _evaluate(config: DemoConfig) -> Path:
    from dreamdrive.config import save_json
    from dreamdrive.experiments.drive_jobs import Conditions
    from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate
    from dreamdrive.planners.mppi import MPPIConfig
    from dreamdrive.planners.policy import PlannerConfig
    from dreamdrive.planners.search import SearchConfig

    sizes, agent = config.sizes, config.folder / "agent"
    search = SearchConfig(num_samples=sizes.plans, horizon=sizes.look_ahead)
    save_json(PlannerConfig(mppi=MPPIConfig(search=search)), config.folder / "planner.json")
    return evaluate(
        EvaluateConfig(
            policies=(
                "standing", "random", "straight",
                f"cloning={config.folder / 'cloning' / 'policy'}",
                f"shipped agent={config.agent}", f"agent={agent / 'policy'}",
                f"planner=planner:{agent / 'policy'}", "expert",
            ),
            towns=(TOWN,), routes_per_town=sizes.routes, videos=1, workers=2,
            planner=config.folder / "planner.json", out=config.folder / "evaluation",
            conditions=Conditions(
                route_length_m=sizes.route_length_m, time_limit_s=30.0, time_limit_s_per_m=0.2,
                blocked_s=20.0,
            ),
        )
    )  # fmt: skip


def _report(config: DemoConfig) -> Path:
    from dreamdrive.experiments.report import ReportConfig, report

    return report(ReportConfig(run=config.folder, title="Dreamdrive: the main job, end to end"))
