"""Calls about the parts of actors: components, bones, sockets, and the poses of walkers.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

import math
from typing import Any

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.arguments import CallError, items, number, text, transform
from dreamdrive.envs.embedded.blueprints import VEHICLES, WALKERS
from dreamdrive.envs.embedded.render.view import Pose, attached
from dreamdrive.envs.embedded.sensors import sensor_transform
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.skeleton import (
    HERE,
    WALKER_JOINT_NAMES,
    Joint,
    animated,
    chained,
    components,
    posed,
    vehicle_joints,
)


def _wired(pose: Pose) -> list[Any]:
    return [[pose.x, pose.y, pose.z], [pose.pitch, pose.yaw, pose.roll]]


class BoneCalls:
    """Procedures that concern the parts of actors."""

    def __init__(self, simulator: Simulator) -> None:
        self.sim = simulator

    def _kind(self, actor: int) -> str:
        if actor not in self.sim.world.actors:
            raise CallError(f"actor {actor} not found")
        return self.sim.world.actors[actor].kind

    def _pose(self, actor: int) -> Pose:
        return Pose(*sensor_transform(self.sim.world, actor))

    def _joints(self, actor: int) -> list[Joint]:
        kind = self._kind(actor)
        if kind in WALKERS:
            share, told = self.sim.poses.get(actor, (0.0, {}))
            return posed(self._animated(actor), told, share)
        if kind in VEHICLES:
            cars, row = self.sim.world.vehicles, self.sim.vehicle(actor)
            steer = cars.steer[row] * cars.max_steer[row]
            return vehicle_joints(kind, math.degrees(float(steer)))
        return []

    def _animated(self, actor: int) -> list[Joint]:
        walkers, row = self.sim.world.walkers, self.sim.world.walkers.row[actor]
        return animated(float(walkers.walked[row]), float(walkers.speed[row]))

    # --- components ------------------------------------------------------------------------------

    def get_actor_component_names(self, actor: int) -> Any:
        return wire.ok(list(components(self._kind(actor))))

    def get_actor_component_world_transform(self, actor: int, name: str) -> Any:
        return wire.ok(_wired(attached(self._pose(actor), self._component(actor, name))))

    def get_actor_component_relative_transform(self, actor: int, name: str) -> Any:
        return wire.ok(_wired(self._component(actor, name)))

    def _component(self, actor: int, name: str) -> Pose:
        known = components(self._kind(actor))
        if text(name, "component_name") not in known:
            raise CallError(f"actor {actor} has no component {name[:80]!r}: {', '.join(known)}")
        return known[name]

    # --- bones and sockets -----------------------------------------------------------------------

    def get_actor_bone_names(self, actor: int) -> Any:
        return wire.ok([joint.name for joint in self._joints(actor)])

    def get_actor_bone_world_transforms(self, actor: int) -> Any:
        joints = self._joints(actor)
        return wire.ok([_wired(pose) for pose in chained(joints, self._pose(actor))])

    def get_actor_bone_relative_transforms(self, actor: int) -> Any:
        return wire.ok([_wired(joint.place) for joint in self._joints(actor)])

    def get_vehicle_bone_world_transforms(self, actor: int) -> Any:
        self.sim.vehicle(actor)
        return self.get_actor_bone_world_transforms(actor)

    def get_actor_socket_names(self, actor: int) -> Any:
        self._kind(actor)
        return wire.ok([])

    def get_actor_socket_world_transforms(self, actor: int) -> Any:
        return self.get_actor_socket_names(actor)

    def get_actor_socket_relative_transforms(self, actor: int) -> Any:
        return self.get_actor_socket_names(actor)

    # --- poses of walkers ------------------------------------------------------------------------

    def _walker(self, actor: int) -> tuple[float, dict[str, Any]]:
        """Returns how much of a walker's pose is shown, and a copy of the pose."""
        if self._kind(actor) not in WALKERS:
            raise CallError(f"actor {actor} is no walker")
        share, told = self.sim.poses.get(actor, (0.0, {}))
        return share, dict(told)

    def get_bones_transform(self, actor: int) -> Any:
        self._walker(actor)
        joints = self._joints(actor)
        world, own = chained(joints, self._pose(actor)), chained(joints, HERE)
        rows = zip(joints, world, own, strict=True)
        return wire.ok([[[j.name, _wired(w), _wired(c), _wired(j.place)] for j, w, c in rows]])

    def set_bones_transform(self, actor: int, bones: list[Any]) -> None:
        share, told = self._walker(actor)
        for bone in items(items(bones, "bones", 1)[0], "bone_transforms"):
            name, place = items(bone, "bone", 2)
            if text(name, "bone") not in WALKER_JOINT_NAMES:
                raise CallError(f"walkers have no bone {name[:80]!r}")
            told[name] = transform(place, name)
        self.sim.poses[actor] = (share, told)

    def blend_pose(self, actor: int, blend: float) -> None:
        told = self._walker(actor)[1]
        self.sim.poses[actor] = (number(blend, "blend", 0.0, 1.0), told)

    def get_pose_from_animation(self, actor: int) -> None:
        share = self._walker(actor)[0]
        self.sim.poses[actor] = (share, {j.name: tuple(j.place) for j in self._animated(actor)})
