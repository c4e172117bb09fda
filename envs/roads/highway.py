"""`HighwayDrive-v0`: roads of highway-env with the spaces of `CarlaDrive-v0`.

highway-env (Leurent 2018, github.com/Farama-Foundation/HighwayEnv) has y to the right, as screens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import DECISION_DT_S, PHYSICS_DT_S
from dreamdrive.envs.roads.env import RoadsEnv, Rules
from dreamdrive.envs.roads.line import RouteLine
from dreamdrive.envs.roads.simulator import LaneStrip, Layout, Mark, Traffic
from dreamdrive.errors import ConfigError, MissingExtraError

STEP_M = 0.5
AROUND_M = 80.0
"""How far from the route lanes are drawn: a motorway of highway-env is 10 km long."""

ACCELERATION_MPS2, STEER_RAD = 8.0, 1.2
"""Ends of the action's ranges, as highway-env is told."""

TOPS_MPS = 40.0
MARKS: tuple[Mark, ...] = ("none", "broken", "solid", "solid")
"""What its numbers of lines mean: none, striped, continuous, and a continuous one alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A road of highway-env.

    Attributes:
        env_id: Its id there.
        goals: Nodes of its network, of which an episode's route leads to one; without any, the
            route goes straight on.
        length_m: Length of the route at most.
        junction: What a lane inside a junction begins with; empty where there is none.
        settings: What is set otherwise than there.
    """

    env_id: str
    goals: tuple[str, ...] = ()
    length_m: float = 400.0
    junction: str = ""
    settings: tuple[tuple[str, Any], ...] = ()


TASKS = {
    "intersection": Task(
        env_id="intersection-v2", goals=("o1", "o2", "o3"), junction="ir",
        settings=(("destination", None), ("spawn_probability", 0.3)),
    ),
    "roundabout": Task(env_id="roundabout-v1", goals=("nxr", "exr", "wxr")),
    "highway": Task(env_id="highway-v0", settings=(("lanes_count", 3), ("vehicles_count", 20))),
    "merge": Task(env_id="merge-v1"),
}  # fmt: skip
"""Roads by name."""


class HighwaySimulator:
    """One road of highway-env.

    Args:
        task: Which.
        draws: Whether its own pictures are wanted.

    Raises:
        MissingExtraError: If highway-env is not installed.
    """

    def __init__(self, task: Task, *, draws: bool) -> None:
        try:
            import highway_env  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("highway-env", "highway") from error
        action = {
            "type": "ContinuousAction",
            "acceleration_range": (-ACCELERATION_MPS2, ACCELERATION_MPS2),
            "steering_range": (-STEER_RAD, STEER_RAD), "speed_range": (0.0, TOPS_MPS),
        }  # fmt: skip
        config = {
            "action": action, "simulation_frequency": round(1.0 / PHYSICS_DT_S),
            "policy_frequency": round(1.0 / DECISION_DT_S), "duration": float("inf"),
            **dict(task.settings),
        }  # fmt: skip
        self._task, self._draws = task, draws
        self._env = _unrewarded(task.env_id)(config, "rgb_array" if draws else None)

    def begin(self, rng: np.random.Generator) -> Layout:
        """Starts an episode, all of whose chance comes from `rng`."""
        self._env.reset(seed=int(rng.integers(2**31)))
        goal = self._task.goals[rng.integers(len(self._task.goals))] if self._task.goals else ""
        route = self._route(goal)
        low, high = route.xy.min(0) - AROUND_M, route.xy.max(0) + AROUND_M
        lanes = []
        for lane in self._network.lanes_list():
            strip = strip_of(lane)
            inside = ((strip.pose[:, :2] >= low) & (strip.pose[:, :2] <= high)).all(1)
            if inside.any():
                first, end = np.flatnonzero(inside)[[0, -1]]
                lanes.append(
                    LaneStrip(
                        pose=strip.pose[first : end + 1], width_m=strip.width_m[first : end + 1],
                        left=strip.left, right=strip.right,
                    )
                )  # fmt: skip
        return Layout(lanes=tuple(lanes), route=route)

    def drive(self, curvature_1pm: float, acceleration_mps2: float) -> None:
        """Holds a curvature, positive to the left, and an acceleration for a decision."""
        # Its vehicle turns by v sin(β) / (L / 2) with tan(β) = tan(wheel) / 2.
        sine = float(np.clip(curvature_1pm * self._ego.LENGTH / 2.0, -0.95, 0.95))
        wheel = np.arctan(2.0 * np.tan(np.arcsin(sine)))
        action = [acceleration_mps2 / ACCELERATION_MPS2, -wheel / STEER_RAD]
        self._env.step(np.clip(np.asarray(action, np.float32), -1.0, 1.0))

    def traffic(self) -> Traffic:
        """Returns the present instant."""
        ego, road = self._ego, self._env.road
        others = [vehicle for vehicle in road.vehicles if vehicle is not ego]
        things = [thing for thing in road.objects if getattr(thing, "solid", True)]
        boxes = [box_of(other) for other in (*others, *things)]
        limit = ego.lane.speed_limit
        return Traffic(
            ego=np.array(box_of(ego)), speed_mps=max(0.0, float(ego.speed)),
            speed_limit_mps=float(limit) if limit else TOPS_MPS,
            vehicles=np.array(boxes).reshape(-1, 5),
            collision="collision_vehicle" if ego.crashed else "",
            is_on_road=bool(ego.on_road),
        )  # fmt: skip

    def picture(self) -> NDArray[np.uint8] | None:
        """Returns highway-env's own picture."""
        return np.asarray(self._env.render(), np.uint8) if self._draws else None

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()

    @property
    def _ego(self) -> Any:
        return self._env.vehicle

    @property
    def _network(self) -> Any:
        return self._env.road.network

    def _route(self, goal: str) -> RouteLine:
        """Returns the route from the ego onward, along the lanes that lead to a node."""
        xy, width, inside = [], [], []
        left_m = self._task.length_m
        for index, lane, start_m in self._lanes_to(goal):
            strip = strip_of(lane, start_m, start_m + left_m)
            xy.append(strip.pose[:, :2])
            width.append(strip.width_m)
            in_junction = bool(self._task.junction) and index[0].startswith(self._task.junction)
            inside.append(np.full(len(strip.pose), in_junction))
            left_m -= max(0.0, lane.length - start_m)
            if left_m <= 0.0:
                break
        return RouteLine(np.concatenate(xy), np.concatenate(width), np.concatenate(inside))

    def _lanes_to(self, goal: str) -> Iterator[tuple[Any, Any, float]]:
        """Yields index, lane and first metre of the lanes ahead of the ego."""
        network, index = self._network, self._ego.lane_index
        lane = network.get_lane(index)
        yield index, lane, float(lane.local_coordinates(self._ego.position)[0])
        nodes = network.shortest_path(index[1], goal)[1:] if goal else None
        while True:
            if nodes is not None:
                after = nodes.pop(0) if nodes else None
            else:
                after = next(iter(network.graph.get(index[1], {})), None)
            if after is None:
                return
            end = lane.position(lane.length, 0.0)
            options = network.graph[index[1]][after]
            number = int(np.argmin([np.hypot(*(o.position(0.0, 0.0) - end)) for o in options]))
            index, lane = (index[1], after, number), options[number]
            yield index, lane, 0.0


def _unrewarded(env_id: str) -> Any:
    """Returns an environment's class without its reward, which takes no continuous action."""
    point = gym.spec(env_id).entry_point
    made: Any = gym.envs.registration.load_env_creator(str(point))
    nothing = {"_reward": lambda env, action: 0.0, "_rewards": lambda env, action: {}}
    return type(made.__name__, (made,), nothing)


def strip_of(lane: Any, first_m: float = 0.0, end_m: float = float("inf")) -> LaneStrip:
    """Returns a lane of highway-env in ISO axes, or a part of it."""
    end_m = min(float(lane.length), end_m)
    along = np.append(np.arange(min(first_m, end_m), end_m, STEP_M), end_m)
    places = np.array([lane.position(s, 0.0) for s in along])
    yaw = [-float(lane.heading_at(s)) for s in along]
    left, right = (MARKS[int(kind)] for kind in lane.line_types)
    return LaneStrip(
        pose=np.column_stack([places[:, 0], -places[:, 1], yaw]),
        width_m=np.array([float(lane.width_at(s)) for s in along]), left=left, right=right,
    )  # fmt: skip


def box_of(thing: Any) -> list[float]:
    """Returns a vehicle or a thing of highway-env as a box in ISO axes."""
    x, y = (float(value) for value in thing.position)
    return [x, -y, -float(thing.heading), float(thing.LENGTH) / 2, float(thing.WIDTH) / 2]


class HighwayDriveEnv(RoadsEnv):
    """Drives a road of highway-env.

    Args:
        task: One of `TASKS`.
        reward: Name of the reward, as in `CarlaDrive-v0`.
        max_steps: Decisions until the time limit.
        render_mode: `rgb_array`, or None.

    Raises:
        ConfigError: If there is no such task or reward.
        MissingExtraError: If highway-env is not installed.
    """

    def __init__(
        self, task: str = "intersection", reward: str = "route_completion",
        max_steps: int = 600, render_mode: str | None = None,
    ) -> None:  # fmt: skip
        if task not in TASKS:
            raise ConfigError(f"There is no road {task!r}", do=f"Known: {', '.join(TASKS)}.")
        simulator = HighwaySimulator(TASKS[task], draws=render_mode is not None)
        super().__init__(
            simulator, task, reward=reward, rules=Rules(max_steps=max_steps),
            render_mode=render_mode,
        )  # fmt: skip
