"""The rule-based expert: it follows the route, keeps its distance, stops and yields.

It reads what no policy sees (every actor's pose and the lights), so it is the yardstick.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.client import wrap_angle
from dreamdrive.envs.carla.conflicts import Corridor, Obstacle, Yields
from dreamdrive.envs.carla.episode import Drive
from dreamdrive.envs.carla.evasion import Evasion, yielding
from dreamdrive.envs.carla.events import STANDING_MPS
from dreamdrive.envs.carla.routes import Route, arcs_of_lines
from dreamdrive.envs.carla.scenarios.scenario import Detour, Priority
from dreamdrive.envs.carla.scene import EgoPose, Scene
from dreamdrive.envs.carla.town_map import RED, TownMap


class Surroundings(Protocol):
    """What the expert looks at; `CarlaDriveEnv` is one."""

    @property
    def scene(self) -> Scene | None:
        """What moves around the ego; None before the episode."""

    @property
    def drive(self) -> Drive | None:
        """The judge of the episode; None before it."""

    @property
    def route(self) -> Route | None:
        """What is driven; None before the episode."""

    @property
    def town_map(self) -> TownMap:
        """The town with its stop lines."""

    @property
    def speed_limit_mps(self) -> float:
        """The speed limit at the ego."""

    @property
    def steer_limit_rad(self) -> float:
        """The angle of the front wheels at full steer."""

    @property
    def detours(self) -> Sequence[Detour]:
        """What scenarios ask of it: where it has to leave its lane."""

    @property
    def priorities(self) -> Sequence[Priority]:
        """What scenarios say of others who go first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpertConfig:
    """How the expert drives.

    Attributes:
        speed_factor: Share of the speed limit that it wants to drive.
        lateral_mps2: Acceleration that it accepts in curves.
        accelerate_mps2: Strongest acceleration that it wants.
        brake_mps2: Comfortable braking.
        headway_s: Time gap to the vehicle in front.
        standstill_m: Gap to the vehicle in front when standing.
        line_gap_m: Gap to a stop line when standing.
        obeys_lights: Whether it stops at red lights and stop signs.
        sees_others: Whether it reacts to vehicles and walkers.
        lateral_offset_m: Where in the lane it drives, positive to the left.
    """

    speed_factor: float = 0.9
    lateral_mps2: float = 2.0
    accelerate_mps2: float = 2.0
    brake_mps2: float = 2.5
    headway_s: float = 1.2
    standstill_m: float = 3.0
    line_gap_m: float = 1.0
    obeys_lights: bool = True
    sees_others: bool = True
    lateral_offset_m: float = 0.0


WHEELBASE_M = 2.85
FULL_THROTTLE_MPS2 = 4.0
FULL_BRAKE_MPS2 = 8.0
ENGINE_BRAKE_MPS2 = 0.6
EMERGENCY_MPS2 = 7.0
HARDEST_STOP_MPS2 = 6.0
LOOK_AHEAD_M = 50.0
HOLD_PEDAL = -0.4


class Expert:
    """Drives one episode; keeps which stop lines it has already waited at.

    Args:
        config: How it drives.
    """

    def __init__(self, config: ExpertConfig | None = None) -> None:
        self.config = config or ExpertConfig()
        self.reset()

    def reset(self) -> None:
        """Forgets the last episode."""
        self._route: Route | None = None
        self._light_arcs: NDArray[np.float64] = np.zeros(0)
        self._sign_arcs: NDArray[np.float64] = np.zeros(0)
        self._stood: set[int] = set()
        self._evasion: Evasion | None = None
        self._yields: Yields = {}

    def act(self, env: Surroundings) -> NDArray[np.float32]:
        """Returns the action for the present scene, shape (2,)."""
        scene, drive, _ = self._look(env)
        path, _, _ = self._path(env)
        steer = self._steer(scene.ego, drive, path, env.steer_limit_rad)
        pedal = self._pedal(scene.ego.speed_mps, self._acceleration(env))
        return np.array([steer, pedal], np.float32)

    def desired_speed_mps(self, env: Surroundings) -> float:
        """Returns the speed limit, lowered by curves, by what is ahead and by stop lines."""
        scene, drive, route = self._look(env)
        speed = self._free_speed(scene.ego, drive, route, env.speed_limit_mps)
        speed = min(speed, self._path(env)[2])
        for obstacle in self._obstacles(env):
            room = max(0.0, obstacle.gap_m - obstacle.standstill_m)
            reachable = np.sqrt(obstacle.speed_mps**2 + 2.0 * self.config.brake_mps2 * room)
            speed = min(speed, float(reachable))
        return speed

    def _look(self, env: Surroundings) -> tuple[Scene, Drive, Route]:
        assert env.scene is not None, "the episode has not begun"
        assert env.drive is not None
        assert env.route is not None
        if self._route is not env.route:
            self.reset()
            self._route = env.route
            self._light_arcs = arcs_of_lines(env.route, env.town_map.light_lines.boxes)
            self._sign_arcs = arcs_of_lines(env.route, env.town_map.sign_lines)
        return env.scene, env.drive, env.route

    def _path(self, env: Surroundings) -> tuple[Route, list[Obstacle], float]:
        """Returns the line to drive, where to wait before leaving the lane, and a speed limit.

        The line is the route itself unless a scenario asks for something else.
        """
        scene, drive, route = self._look(env)
        detours = env.detours if self.config.sees_others else ()
        if not detours and self._evasion is None:
            return route, [], float("inf")
        if self._evasion is None:
            self._evasion = Evasion()
        return self._evasion.path(detours, scene, route, drive.position.arc_m)

    def _acceleration(self, env: Surroundings) -> float:
        """Returns the lowest acceleration that the free road and each obstacle allow."""
        scene, drive, route = self._look(env)
        config, speed = self.config, scene.ego.speed_mps
        free_mps = self._free_speed(scene.ego, drive, route, env.speed_limit_mps)
        target = max(0.5, min(free_mps, self._path(env)[2]))
        if speed <= target:
            wanted = config.accelerate_mps2 * (1.0 - (max(speed, 0.0) / target) ** 4)
        else:
            wanted = max(-3.0, 1.5 * (target - speed))
        for obstacle in self._obstacles(env):
            closing = speed - obstacle.speed_mps
            brake = 2.0 * np.sqrt(config.accelerate_mps2 * config.brake_mps2)
            kept = obstacle.standstill_m + max(
                0.0, speed * obstacle.headway_s + speed * closing / brake
            )
            share = (kept / max(obstacle.gap_m, 0.1)) ** 2
            wanted = min(wanted, config.accelerate_mps2 * (1.0 - share))
        return float(np.clip(wanted, -EMERGENCY_MPS2, config.accelerate_mps2))

    def _free_speed(self, ego: EgoPose, drive: Drive, route: Route, limit_mps: float) -> float:
        """Returns the speed on an empty road: the limit, and slower before and in curves."""
        arc = drive.position.arc_m
        ahead = (route.arc > arc - 1.0) & (route.arc < arc + LOOK_AHEAD_M)
        bend = np.abs(_smooth(route.curvature))[ahead]
        in_curve = np.sqrt(self.config.lateral_mps2 / np.maximum(bend, 1e-3))
        distance = np.maximum(0.0, route.arc[ahead] - arc - 1.0)
        allowed = np.sqrt(in_curve**2 + 2.0 * 1.5 * distance)
        factor = self.config.speed_factor
        return float(min(limit_mps * factor, allowed.min(initial=np.inf) * max(1.0, factor)))

    def _obstacles(self, env: Surroundings) -> list[Obstacle]:
        """Returns everything ahead that limits the speed, with the gap to the ego's front."""
        scene, drive, route = self._look(env)
        path, waits, _ = self._path(env)
        obstacles: list[Obstacle] = list(waits)
        if self.config.sees_others and len(scene.ids):
            corridor = Corridor(
                path, drive.position.arc_m, scene.ego, env.town_map.lane_departure_m, self._yields
            )
            obstacles += corridor.obstacles(
                scene, headway_s=self.config.headway_s, standstill_m=self.config.standstill_m
            )
        if self.config.sees_others:
            obstacles += yielding(env.priorities, scene, route, drive.position.arc_m)
        if self.config.obeys_lights:
            obstacles += self._lines(env, drive.position.arc_m + scene.ego.half_length_m)
        return obstacles

    def _lines(self, env: Surroundings, front_m: float) -> list[Obstacle]:
        """Returns the red lights and stop signs ahead as standing obstacles."""
        assert env.scene is not None
        speed = env.scene.ego.speed_mps
        gaps: list[float] = []
        states = env.town_map.light_states()
        light_gaps = self._light_arcs - front_m
        for line in np.flatnonzero((light_gaps > -0.3) & (light_gaps < LOOK_AHEAD_M)):
            gap = float(light_gaps[line])
            can_stop = speed**2 <= 2.0 * HARDEST_STOP_MPS2 * max(gap, 0.05) or speed < 1.0
            if states[line] == RED and can_stop:
                gaps.append(gap)
        sign_gaps = self._sign_arcs - front_m
        for line in np.flatnonzero((sign_gaps > -0.3) & (sign_gaps < LOOK_AHEAD_M)):
            if int(line) in self._stood:
                continue
            gap = float(sign_gaps[line])
            if abs(speed) < STANDING_MPS and gap < self.config.line_gap_m + 2.0:
                self._stood.add(int(line))
            else:
                gaps.append(gap)
        return [
            Obstacle(gap_m=gap, speed_mps=0.0, headway_s=0.3, standstill_m=self.config.line_gap_m)
            for gap in gaps
        ]

    def _steer(self, ego: EgoPose, drive: Drive, route: Route, limit_rad: float) -> float:
        """Returns the steer action by pure pursuit from the rear axle."""
        reach = float(np.clip(2.5 + 0.55 * ego.speed_mps, 4.0, 16.0))
        arc = drive.position.arc_m + reach - WHEELBASE_M / 2
        x, y = route.at(arc)
        past_end = max(0.0, arc - route.length_m)
        x += past_end * np.cos(route.yaw[-1])
        y += past_end * np.sin(route.yaw[-1])
        yaw = float(route.yaw[min(int(np.searchsorted(route.arc, arc)), len(route.arc) - 1)])
        x -= self.config.lateral_offset_m * np.sin(yaw)
        y += self.config.lateral_offset_m * np.cos(yaw)
        dx = x - (ego.x - WHEELBASE_M / 2 * np.cos(ego.yaw_rad))
        dy = y - (ego.y - WHEELBASE_M / 2 * np.sin(ego.yaw_rad))
        bearing = float(wrap_angle(np.arctan2(dy, dx) - ego.yaw_rad))
        wheel = np.arctan2(2.0 * WHEELBASE_M * np.sin(bearing), np.hypot(dx, dy))
        return float(np.clip(wheel / limit_rad, -1.0, 1.0))

    def _pedal(self, speed_mps: float, wanted_mps2: float) -> float:
        """Returns the pedal for an acceleration; holds the brake where it wants to stand."""
        if speed_mps < 0.4 and wanted_mps2 < 0.1:
            return HOLD_PEDAL
        if wanted_mps2 > -ENGINE_BRAKE_MPS2:
            return float(np.clip(wanted_mps2 / FULL_THROTTLE_MPS2, 0.0, 1.0))
        return float(np.clip((wanted_mps2 + ENGINE_BRAKE_MPS2) / FULL_BRAKE_MPS2, -1.0, 0.0))


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the moving average over five points."""
    return np.convolve(values, np.full(5, 0.2), mode="same")
