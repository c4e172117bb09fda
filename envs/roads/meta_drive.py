"""`MetaDriveDrive-v0`: MetaDrive's generated roads with the spaces of `CarlaDrive-v0`.

MetaDrive (Li et al. 2021, arXiv:2109.12674) is in ISO axes but for lateral offsets from a lane,
which are positive to the right. It needs its assets on disk, which it downloads where they are
missing, and draws nothing of them here.
"""

import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.roads.env import FULL_BRAKE_MPS2, FULL_THROTTLE_MPS2, RoadsEnv, Rules
from dreamdrive.envs.roads.line import RouteLine
from dreamdrive.envs.roads.simulator import LaneStrip, Layout, Mark, Traffic
from dreamdrive.errors import MissingAssetsError, MissingExtraError, ServerError

STEP_M = 0.5
NUM_ROADS = 1000
JUNCTION = re.compile(r"^-?\d+[XTO]")
"""Names of the nodes of crossings and roundabouts."""


class MetaDriveSimulator:
    """MetaDrive's generated roads with its own traffic.

    A process has one engine, which goes to whichever simulator began an episode last.

    Args:
        num_blocks: Pieces that a road is made of.
        density: Vehicles per ten metres of lane.
        speed_limit_mps: The limit everywhere: its own traffic keeps none of its lanes'.

    Raises:
        MissingAssetsError: If its assets are not there and cannot be downloaded.
        MissingExtraError: If MetaDrive is not installed.
    """

    _holder: "MetaDriveSimulator | None" = None

    def __init__(self, num_blocks: int, density: float, speed_limit_mps: float) -> None:
        try:
            from metadrive import MetaDriveEnv
        except ImportError as error:
            raise MissingExtraError("metadrive-simulator", "metadrive") from error
        _fetch_assets()
        self._limit_mps, self._class, self._made = speed_limit_mps, MetaDriveEnv, None
        self._config = {
            "use_render": False, "log_level": 50, "map": num_blocks, "num_scenarios": NUM_ROADS,
            "start_seed": 0, "traffic_density": density, "random_traffic": False, "horizon": None,
            "out_of_route_done": False,
        }  # fmt: skip

    def begin(self, rng: np.random.Generator) -> Layout:
        """Starts an episode on one of a thousand roads."""
        holder = MetaDriveSimulator._holder
        if holder is not None and holder is not self:
            holder.close()
        if self._made is None:
            self._made = self._class(self._config)
        MetaDriveSimulator._holder = self
        self._env.reset(seed=int(rng.integers(NUM_ROADS)))
        lanes = tuple(strip_of(lane) for lane in self._env.current_map.road_network.get_all_lanes())
        return Layout(lanes=lanes, route=self._route())

    def drive(self, curvature_1pm: float, acceleration_mps2: float) -> None:
        """Holds a curvature, positive to the left, and an acceleration for a decision."""
        ego = self._env.agent
        base_m = ego.FRONT_WHEELBASE + ego.REAR_WHEELBASE
        wheel = math.atan(curvature_1pm * base_m) / math.radians(ego.max_steering)
        full = FULL_THROTTLE_MPS2 if acceleration_mps2 > 0.0 else FULL_BRAKE_MPS2
        action = np.clip([wheel, acceleration_mps2 / full], -1.0, 1.0)
        self._env.step(action.tolist())

    def traffic(self) -> Traffic:
        """Returns the present instant."""
        ego = self._env.agent
        vehicles, walkers = [], []
        for thing in self._env.engine.get_objects().values():
            kind = {base.__name__ for base in type(thing).__mro__}
            if thing is ego or not hasattr(thing, "heading_theta"):
                continue
            if "Pedestrian" in kind:
                walkers.append(box_of(thing))
            elif kind & {"BaseVehicle", "TrafficObject"}:
                vehicles.append(box_of(thing))
        return Traffic(
            ego=np.array(box_of(ego)), speed_mps=float(ego.speed),
            speed_limit_mps=self._limit_mps,
            vehicles=np.array(vehicles).reshape(-1, 5),
            walkers=np.array(walkers).reshape(-1, 5), collision=self._contact(ego),
            is_on_road=bool(ego.on_lane),
        )  # fmt: skip

    def picture(self) -> NDArray[np.uint8] | None:
        """Returns None: it is run without its renderer."""
        return None

    def close(self) -> None:
        """Gives the engine back."""
        made, self._made = self._made, None
        if made is not None:
            made.close()
            MetaDriveSimulator._holder = None

    @property
    def _env(self) -> Any:
        if self._made is None:
            raise ServerError(
                "MetaDrive's engine drives another environment of this process by now",
                do="Call reset(), or drive each environment in a process of its own.",
            )
        return self._made

    def _contact(self, ego: Any) -> str:
        if ego.crash_vehicle:
            return "collision_vehicle"
        if getattr(ego, "crash_human", False):
            return "collision_walker"
        is_static = ego.crash_object or getattr(ego, "crash_building", False) or ego.crash_sidewalk
        return "collision_static" if is_static else ""

    def _route(self) -> RouteLine:
        xy, width, inside = [], [], []
        for name, lane, start_m in self._lanes():
            strip = strip_of(lane, start_m)
            xy.append(strip.pose[:, :2])
            width.append(strip.width_m)
            inside.append(np.full(len(strip.pose), bool(JUNCTION.match(name))))
        return RouteLine(np.concatenate(xy), np.concatenate(width), np.concatenate(inside))

    def _lanes(self) -> Iterator[tuple[str, Any, float]]:
        """Yields the node that a lane of the route leads to, the lane, and its first metre."""
        ego, nodes = self._env.agent, self._env.agent.navigation.checkpoints
        graph, end = self._env.current_map.road_network.graph, None
        for before, after in itertools.pairwise(nodes):
            lanes = graph[before][after]
            if end is None:
                lane = min(lanes, key=lambda lane: abs(lane.local_coordinates(ego.position)[1]))
                yield after, lane, max(0.0, float(lane.local_coordinates(ego.position)[0]))
            else:
                here = end
                lane = min(lanes, key=lambda lane: math.dist(lane.position(0.0, 0.0), here))
                yield after, lane, 0.0
            end = lane.position(lane.length, 0.0)


def _fetch_assets() -> None:
    """Lets MetaDrive download its assets unless they are there.

    Raises:
        MissingAssetsError: If it cannot.
    """
    from metadrive.engine.asset_loader import AssetLoader
    from metadrive.pull_asset import ASSET_URL, pull_asset

    folder = Path(AssetLoader.asset_path)
    if (folder / "version.txt").exists() and not AssetLoader.should_update_asset():
        return
    try:
        pull_asset(update=True)
    except OSError as error:
        raise MissingAssetsError(
            f"MetaDrive's assets of its version are missing and cannot be downloaded: {error}",
            where=folder,
            do=f"Fetch {ASSET_URL} where there is a network, and unpack it into {folder.parent}, "
            f"so that {folder / 'version.txt'} is there.",
        ) from error


def strip_of(lane: Any, first_m: float = 0.0) -> LaneStrip:
    """Returns a lane of MetaDrive, or the part of it from a metre on."""
    end_m = float(lane.length)
    along = np.append(np.arange(min(first_m, end_m), end_m, STEP_M), end_m)
    places = np.array([lane.position(s, 0.0) for s in along])
    yaw = [float(lane.heading_theta_at(s)) for s in along]
    left, right = (_mark(str(kind)) for kind in lane.line_types)
    return LaneStrip(
        pose=np.column_stack([places, yaw]),
        width_m=np.array([float(lane.width_at(s)) for s in along]), left=left, right=right,
    )  # fmt: skip


def _mark(kind: str) -> Mark:
    if "UNKNOWN" in kind:
        return "none"
    return "broken" if "BROKEN" in kind else "solid"


def box_of(thing: Any) -> list[float]:
    """Returns a thing of MetaDrive as a box."""
    x, y = (float(value) for value in thing.position[:2])
    return [x, y, float(thing.heading_theta), float(thing.LENGTH) / 2, float(thing.WIDTH) / 2]


class MetaDriveDriveEnv(RoadsEnv):
    """Drives MetaDrive's generated roads; one at a time in a process.

    Args:
        num_blocks: Pieces that a road is made of.
        density: MetaDrive's traffic density.
        speed_limit_mps: The limit everywhere.
        reward: Name of the reward, as in `CarlaDrive-v0`.
        max_steps: Decisions until the time limit.
        render_mode: `rgb_array`, or None.

    Raises:
        ConfigError: If there is no such reward.
        MissingAssetsError: If MetaDrive's assets are not there and cannot be downloaded.
        MissingExtraError: If MetaDrive is not installed.
    """

    def __init__(
        self, num_blocks: int = 3, density: float = 0.1, speed_limit_mps: float = 10.0,
        reward: str = "route_completion", max_steps: int = 1000, render_mode: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            MetaDriveSimulator(num_blocks, density, speed_limit_mps), f"metadrive-{num_blocks}",
            reward=reward, rules=Rules(max_steps=max_steps), render_mode=render_mode,
        )  # fmt: skip
