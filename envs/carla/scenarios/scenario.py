"""What a scenario is: something that happens where a route triggers it, and how the ego took it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dreamdrive.envs.carla.scenarios.layout import Layout
from dreamdrive.envs.carla.scenarios.puppet import Pedestrian, Puppet
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.envs.carla.scenarios.stage import Stage
from dreamdrive.envs.carla.scene import Scene


@dataclass(frozen=True, kw_only=True, slots=True)
class Detour:
    """What an expert is told of a scenario that asks it to leave its lane.

    Attributes:
        first_m: Arc length where the ego must be beside its lane.
        last_m: Where it may be back.
        offset_m: How far to the left of the route; negative to the right.
        is_oncoming: Whether the way there is the oncoming lane.
        is_urgent: Whether it must leave its lane at once, and slow down; else it may wait.
    """

    first_m: float
    last_m: float
    offset_m: float
    is_oncoming: bool = False
    is_urgent: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Priority:
    """What an expert is told of others who have, or take, the right of way.

    Attributes:
        ego_m: Arc length on the route where the ways meet.
        spans_s: From when until when each of them is there, seconds from now.
    """

    ego_m: float
    spans_s: tuple[tuple[float, float], ...]


class Scenario:
    """One scenario of an episode.

    It is set up when the ego comes near, plays from its trigger on, and is over when the ego has
    passed `end_m`. All chance comes from `rng`.

    Args:
        stage: What it plays on.
        spec: What the route file says.
        trigger_m: Where on the route it is triggered.
        rng: Its own chance.
    """

    SETUP_M: ClassVar[float] = 60.0
    """How far before its trigger it is set up."""

    TIMEOUT_S: ClassVar[float] = 240.0
    """Time after which it is given up, as in the leaderboard."""

    def __init__(
        self, stage: Stage, spec: ScenarioSpec, trigger_m: float, rng: np.random.Generator
    ) -> None:
        self.stage, self.spec, self.rng = stage, spec, rng
        self.trigger_m = trigger_m
        self.end_m = trigger_m + 40.0
        self.puppets: list[Puppet] = []
        self.walkers: list[Pedestrian] = []
        self.things: list[int] = []
        self.played_s = 0.0

    @classmethod
    def places(cls, layout: Layout, kind: str) -> list[float]:
        """Returns where on a route this type can be triggered, arc lengths."""
        raise NotImplementedError

    @property
    def detour(self) -> Detour | None:
        """What an expert is told, if it has to leave its lane."""
        return None

    @property
    def priority(self) -> Priority | None:
        """What an expert is told, if others go first."""
        return None

    @property
    def tolerates_oncoming(self) -> bool:
        """Whether the ego may use the oncoming lane now."""
        return False

    def set_up(self, scene: Scene) -> bool:
        """Puts the actors on the stage; returns False where there was no room for them."""
        raise NotImplementedError

    def wait(self, scene: Scene) -> list[Any]:
        """Returns commands for a decision between set-up and trigger."""
        return [puppet.stand() for puppet in self.puppets]

    def play(self, scene: Scene, arc_m: float) -> list[Any]:
        """Returns commands for a decision from the trigger on.

        Args:
            scene: The present scene.
            arc_m: Where the ego is on the route.
        """
        raise NotImplementedError

    def disturbed(self, steer: float, acceleration: float) -> tuple[float, float]:
        """Returns the ego's action as the vehicle takes it."""
        return steer, acceleration

    def fault(self, scene: Scene) -> tuple[str, str] | None:
        """Returns the ego's own infraction, beyond what every drive is judged by, and its detail.

        Asked once, when the ego has come through.
        """
        return None

    def release(self) -> None:
        """Hands vehicles that have come to the end of their line to the traffic, to drive on."""
        through = [p for p in self.puppets if p.is_through]
        if through:
            self.puppets = [p for p in self.puppets if not p.is_through]
            self.stage.dismiss(through)

    def leave(self) -> None:
        """Takes the actors off the stage, or hands them over."""
        self.stage.remove([*(p.id for p in self.puppets), *(w.id for w in self.walkers)])
        self.stage.remove(self.things)


def eta_s(scene: Scene, distance_m: float, least_mps: float = 2.0) -> float:
    """Returns when the ego is at a distance ahead if it keeps its speed."""
    return max(0.0, distance_m) / max(scene.ego.speed_mps, least_mps)
