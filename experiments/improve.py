"""Rounds of: collect with the agent, retrain the world model on it, improve the agent again."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from dreamdrive.agents.artefact import find_worldmodel
from dreamdrive.envs.embedded.towns import DEV_TOWNS
from dreamdrive.experiments.collect import CollectConfig, collect
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate
from dreamdrive.experiments.run import begin_run, console
from dreamdrive.experiments.train_agent import GOING_ON, TrainAgentConfig, train_agent
from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig, train_worldmodel


@dataclass(frozen=True, kw_only=True, slots=True)
class ImproveConfig:
    """How to go round."""

    policy: Path = Path("runs/agent/policy")
    """The agent to begin with, a folder or a shipped one's name, with the world model that it sees
    through."""
    data: tuple[Path, ...] = (Path("data/train"),)
    """Episodes that the world model was trained on; those of each round are added to them."""
    out: Path = Path("runs/improve")
    rounds: int = 1
    collect: CollectConfig = field(
        default_factory=lambda: CollectConfig(episodes=150, policy_share=0.7)
    )
    worldmodel: TrainWorldModelConfig = field(
        default_factory=lambda: TrainWorldModelConfig(
            fine_tune=True, steps=300, rollout_share=1.0, learning_rate=3e-4
        )
    )
    agent: TrainAgentConfig = field(
        default_factory=lambda: TrainAgentConfig(updates=200, agent=GOING_ON)
    )
    evaluate: EvaluateConfig = field(
        default_factory=lambda: EvaluateConfig(
            policies=("standing",), towns=DEV_TOWNS, routes_per_town=10, videos=0
        )
    )
    """Where the agents of all rounds are compared: towns for tuning, not for the final test."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If there is no round.
        """
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")


def improve(config: ImproveConfig) -> Path:
    """Goes round and returns the folder of the last agent; a killed run goes on where it was.

    `out/round-N` holds a round's episodes, world model and agent; `out/evaluation` compares the
    agents of all rounds on the same routes in the same traffic.

    Raises:
        DreamdriveError: As the stages do.
    """
    begin_run(config.out, config)
    policy, data = config.policy, config.data
    agents = {"round-0": policy}
    for number in range(1, config.rounds + 1):
        console.rule(f"round {number} of {config.rounds}")
        folder = config.out / f"round-{number}"
        episodes = collect(
            replace(
                config.collect, policy=policy, out=folder / "episodes",
                seed=config.collect.seed + 1000 + number,
            )
        )  # fmt: skip
        data = (*data, episodes)
        model = folder / "worldmodel" / "model"
        if not (model / "config.json").is_file():
            train_worldmodel(
                replace(
                    config.worldmodel, init=find_worldmodel(policy), fine_tune=True, data=data,
                    out=folder / "worldmodel",
                )
            )  # fmt: skip
        train_agent(
            replace(
                config.agent, model=str(model), init=policy, data=data, out=folder / "agent",
                seed=config.agent.seed + number,
            )
        )  # fmt: skip
        policy = folder / "agent" / "policy"
        agents[f"round-{number}"] = policy
    evaluate(
        replace(
            config.evaluate, out=config.out / "evaluation",
            policies=tuple(f"{name}={path}" for name, path in agents.items()),
        )
    )  # fmt: skip
    return policy
