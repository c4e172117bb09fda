"""Object and route tokens of a scene, as `dreamdrive.driving.objects` describes them."""

from collections.abc import Container
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.objects import (
    AHEAD_M,
    ASIDE_M,
    CLASS_NUMBER,
    GO,
    MAX_OBJECTS,
    OBJECT_FIELDS,
    ROUTE_FIELDS,
    ROUTE_POINTS,
    ROUTE_STEP_M,
    STOP,
    YELLOW,
    bounds,
)
from dreamdrive.envs.carla.bev import Boxes
from dreamdrive.envs.carla.client import wrap_angle
from dreamdrive.envs.carla.episode import Drive
from dreamdrive.envs.carla.routes import Route, arcs_of_lines
from dreamdrive.envs.carla.scene import WALKER, EgoPose, Scene
from dreamdrive.envs.carla.town_map import RED, TownMap
from dreamdrive.envs.carla.tracker import RoutePosition

Tokens = NDArray[np.float32]
OBJECT_BOUNDS = bounds(OBJECT_FIELDS, MAX_OBJECTS)
ROUTE_BOUNDS = bounds(ROUTE_FIELDS, ROUTE_POINTS)


def token_spaces() -> dict[str, gym.spaces.Space[Any]]:
    """Returns the spaces of `objects` (32, 9), `object_mask` (32,) and `route` (20, 3)."""
    return {
        "objects": gym.spaces.Box(*OBJECT_BOUNDS, dtype=np.float32),
        "object_mask": gym.spaces.MultiBinary(MAX_OBJECTS),
        "route": gym.spaces.Box(*ROUTE_BOUNDS, dtype=np.float32),
    }


class Tokenizer:
    """Makes the tokens of one drive.

    Lights and stop signs are those whose line lies across the route ahead: others bind others.

    Args:
        town: The town.
        route: The route.
    """

    def __init__(self, town: TownMap, route: Route) -> None:
        self._town, self._route = town, route
        self._light_arcs = arcs_of_lines(route, town.light_lines.boxes)
        self._sign_arcs = arcs_of_lines(route, town.sign_lines)
        self._yaw = np.unwrap(route.yaw)

    def tokens(self, scene: Scene, drive: Drive, things: Container[int]) -> dict[str, NDArray[Any]]:
        """Returns `objects`, `object_mask` and `route` of a scene.

        Objects come nearest first, and at the same distance in the order of their rows; what does
        not fit is furthest away. Rows beyond them are zero and their mask is 0.

        Args:
            scene: The scene.
            drive: The drive in it.
            things: Ids of those of its actors that are no vehicles and no walkers.
        """
        rows = np.concatenate([self._actors(scene, things), *self._lines(scene.ego, drive)])
        x, y = rows[:, 1], rows[:, 2]
        seen = (x / np.where(x > 0.0, AHEAD_M, ASIDE_M)) ** 2 + (y / ASIDE_M) ** 2 <= 1.0
        rows = rows[seen]
        distance = np.hypot(rows[:, 1], rows[:, 2])
        order = np.lexsort((*rows.T[::-1], distance))[:MAX_OBJECTS]
        objects = np.zeros((MAX_OBJECTS, len(OBJECT_FIELDS)), np.float32)
        objects[: len(order)] = rows[order]
        mask = (np.arange(MAX_OBJECTS) < len(order)).astype(np.int8)
        return {
            "objects": np.clip(objects, *OBJECT_BOUNDS),
            "object_mask": mask,
            "route": self._ahead(scene.ego, drive.position),
        }

    def _actors(self, scene: Scene, things: Container[int]) -> NDArray[np.float64]:
        """Returns a row for each actor, shape (n, 9)."""
        kinds = [
            CLASS_NUMBER["obstacle" if number in things else "walker" if kind == WALKER
                         else "vehicle"]
            for number, kind in zip(scene.ids.tolist(), scene.kinds, strict=True)
        ]  # fmt: skip
        rows = _rows(scene.boxes, np.array(kinds, np.float64), scene.ego)
        cos, sin = np.cos(scene.ego.yaw_rad), np.sin(scene.ego.yaw_rad)
        rows[:, 4] = scene.velocity[:, 0] * cos + scene.velocity[:, 1] * sin
        rows[:, 5] = scene.velocity[:, 1] * cos - scene.velocity[:, 0] * sin
        return rows

    def _lines(self, ego: EgoPose, drive: Drive) -> list[NDArray[np.float64]]:
        """Returns rows of the lights and of the stop signs across the route ahead."""
        town, arc_m = self._town, drive.position.arc_m
        is_red = town.red_only()
        is_yellow = (town.light_states() == RED) & ~is_red
        light_says = np.where(is_red, STOP, np.where(is_yellow, YELLOW, GO))
        sign_says = np.where(drive.binding_signs, STOP, GO)
        found = []
        for name, boxes, arcs, says in (
            ("traffic_light", town.light_lines.boxes, self._light_arcs, light_says),
            ("stop_sign", town.sign_lines, self._sign_arcs, sign_says),
        ):
            ahead = np.flatnonzero(arcs >= arc_m)  # NaN, of other lanes, is never ahead.
            rows = _rows(boxes[ahead], np.full(len(ahead), CLASS_NUMBER[name], np.float64), ego)
            rows[:, 8] = says[ahead]
            found.append(rows)
        return found

    def _ahead(self, ego: EgoPose, position: RoutePosition) -> Tokens:
        """Returns the route's points ahead, shape (20, 3); past its end they go straight on."""
        route = self._route
        arc = position.arc_m + ROUTE_STEP_M * np.arange(1, ROUTE_POINTS + 1)
        beyond = np.maximum(0.0, arc - route.length_m)
        yaw = np.interp(arc, route.arc, self._yaw)
        x = np.interp(arc, route.arc, route.xy[:, 0]) + beyond * np.cos(route.yaw[-1])
        y = np.interp(arc, route.arc, route.xy[:, 1]) + beyond * np.sin(route.yaw[-1])
        points = np.column_stack([*_in_frame(x, y, ego), wrap_angle(yaw - ego.yaw_rad)])
        return np.clip(points.astype(np.float32), *ROUTE_BOUNDS)


def _rows(boxes: Boxes, kinds: NDArray[np.float64], ego: EgoPose) -> NDArray[np.float64]:
    """Returns rows of standing boxes (x, y, yaw, half length, half width) of some classes."""
    rows = np.zeros((len(boxes), len(OBJECT_FIELDS)))
    rows[:, 0] = kinds
    rows[:, 1], rows[:, 2] = _in_frame(boxes[:, 0], boxes[:, 1], ego)
    rows[:, 3] = wrap_angle(boxes[:, 2] - ego.yaw_rad)
    rows[:, 6:8] = boxes[:, 3:5]
    return rows


def _in_frame(
    x: NDArray[np.float64], y: NDArray[np.float64], ego: EgoPose
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns points of the world ahead of the ego and to its left."""
    dx, dy = x - ego.x, y - ego.y
    cos, sin = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    return dx * cos + dy * sin, dy * cos - dx * sin
