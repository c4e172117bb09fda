"""The joints of walkers and the parts of vehicles: where they are, and poses that clients set.

Walkers have the main joints of CARLA's. What animates them swings arms and legs as cameras draw
them. A client's pose is blended with that joint by joint: places along a line, rotations about one
axis; cameras do not draw it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.blueprints import VEHICLES, WALKER_EXTENT, WALKERS
from dreamdrive.envs.embedded.gait import ARM_SWING_RAD, LEG_SWING_RAD, STEPS, STRIDE_M
from dreamdrive.envs.embedded.physics_control import WHEEL_RADIUS_M
from dreamdrive.envs.embedded.render.view import Pose, angles_of, attached

HERE = Pose(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Joint(NamedTuple):
    """A joint's name, that of the one that it hangs on, and its place in the axes of that one."""

    name: str
    parent: str
    place: Pose


def _at(x: float, y: float, z: float) -> Pose:
    return Pose(x, y, z, 0.0, 0.0, 0.0)


def _side(mark: str, side: float) -> list[Joint]:
    """Returns the joints of one side; left is negative."""
    return [
        Joint(f"crl_shoulder__{mark}", "crl_spine01__C", _at(0.0, 0.08 * side, 0.17)),
        Joint(f"crl_arm__{mark}", f"crl_shoulder__{mark}", _at(0.0, 0.155 * side, 0.0)),
        Joint(f"crl_foreArm__{mark}", f"crl_arm__{mark}", _at(0.0, 0.0, -0.29)),
        Joint(f"crl_hand__{mark}", f"crl_foreArm__{mark}", _at(0.0, 0.0, -0.26)),
        Joint(f"crl_eye__{mark}", "crl_Head__C", _at(0.10, 0.032 * side, 0.08)),
        Joint(f"crl_thigh__{mark}", "crl_hips__C", _at(0.0, 0.095 * side, -0.13)),
        Joint(f"crl_leg__{mark}", f"crl_thigh__{mark}", _at(0.0, 0.0, -0.40)),
        Joint(f"crl_foot__{mark}", f"crl_leg__{mark}", _at(0.0, 0.0, -0.36)),
        Joint(f"crl_toe__{mark}", f"crl_foot__{mark}", _at(0.12, 0.0, -0.02)),
    ]


WALKER_JOINTS: tuple[Joint, ...] = (
    Joint("crl_root", "", _at(0.0, 0.0, -WALKER_EXTENT[2])),
    Joint("crl_hips__C", "crl_root", _at(0.0, 0.0, WALKER_EXTENT[2])),
    Joint("crl_spine__C", "crl_hips__C", _at(0.0, 0.0, 0.12)),
    Joint("crl_spine01__C", "crl_spine__C", _at(0.0, 0.0, 0.18)),
    Joint("crl_neck__C", "crl_spine01__C", _at(0.0, 0.0, 0.22)),
    Joint("crl_Head__C", "crl_neck__C", _at(0.0, 0.0, 0.12)),
    *_side("L", -1.0),
    *_side("R", 1.0),
)
SWINGS = {"crl_thigh": math.degrees(LEG_SWING_RAD), "crl_arm": -math.degrees(ARM_SWING_RAD)}
"""How far limbs of the right side swing forward, in degrees."""
WALKER_JOINT_NAMES = frozenset(joint.name for joint in WALKER_JOINTS)
WHEELS = (
    ("Front_Left", 1, -1),
    ("Front_Right", 1, 1),
    ("Rear_Left", -1, -1),
    ("Rear_Right", -1, 1),
)


def vehicle_joints(kind: str, steer_deg: float) -> list[Joint]:
    """Returns the base and the wheels of a vehicle whose front wheels point to one side."""
    model = VEHICLES[kind]
    found = [Joint("Vehicle_Base", "", HERE)]
    for name, along, across in WHEELS:
        aside = 0.0 if model.wheels == 2 else model.half_width - 0.1
        x, y = along * model.wheelbase / 2.0, across * aside
        yaw = steer_deg if along > 0 else 0.0
        place = Pose(x, y, WHEEL_RADIUS_M, 0.0, yaw, 0.0)
        found.append(Joint(f"Wheel_{name}", "Vehicle_Base", place))
    return found


def components(kind: str) -> dict[str, Pose]:
    """Returns the parts of an actor that can be named, with their places in its axes."""
    if kind in VEHICLES:
        return {"VehicleMesh": HERE}
    if kind in WALKERS:
        return {"CollisionCylinder": HERE, "CharacterMesh0": _at(0.0, 0.0, -WALKER_EXTENT[2])}
    return {"DefaultSceneRoot": HERE}


def animated(walked_m: float, speed_mps: float) -> list[Joint]:
    """Returns the joints of a walker that has gone so far, at one of the steps that are drawn."""
    if speed_mps <= 0.0:
        return list(WALKER_JOINTS)
    step = int(walked_m / STRIDE_M * STEPS % STEPS)
    swing = math.sin(2.0 * math.pi * step / STEPS)
    found = []
    for joint in WALKER_JOINTS:
        limb, _, mark = joint.name.rpartition("__")
        side = -1.0 if mark == "L" else 1.0
        pitch = SWINGS.get(limb, 0.0) * side * swing
        found.append(joint._replace(place=joint.place._replace(pitch=pitch)))
    return found


def posed(
    joints: Sequence[Joint], told: Mapping[str, Sequence[float]], share: float
) -> list[Joint]:
    """Returns a walker's joints as a pose sets them, blended with those that are animated.

    Args:
        joints: The animated ones.
        told: Places of joints relative to those that they hang on: x, y, z, pitch, yaw, roll.
        share: 0 shows the animation alone, 1 the pose.
    """
    return [
        joint._replace(place=blended(joint.place, Pose(*told[joint.name]), share))
        if joint.name in told
        else joint
        for joint in joints
    ]


def chained(joints: Sequence[Joint], origin: Pose) -> list[Pose]:
    """Returns the places of joints, each after the one that it hangs on, from that of the actor."""
    found: dict[str, Pose] = {"": origin}
    for joint in joints:
        found[joint.name] = attached(found[joint.parent], joint.place)
    return [found[joint.name] for joint in joints]


def blended(first: Pose, second: Pose, share: float) -> Pose:
    """Returns a pose between two: along a line, and turned about one axis."""
    if share <= 0.0:
        return first
    if share >= 1.0:
        return second
    here, there = np.array(first[:3]), np.array(second[:3])
    x, y, z = (here + share * (there - here)).tolist()
    axes = first.axes()
    turned = _part_of_turn(second.axes() @ axes.T, share) @ axes
    return Pose(x, y, z, *angles_of(turned))


def _part_of_turn(turn: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Returns a rotation about the same axis, by a share of the angle (Rodrigues' formula)."""
    angle = math.acos(min(max((float(np.trace(turn)) - 1.0) / 2.0, -1.0), 1.0))
    if angle < 1e-9:
        return np.eye(3)
    if math.pi - angle < 1e-6:  # Half a turn: the axis is what the turn keeps.
        column = (turn + np.eye(3))[:, int(np.argmax(np.diag(turn)))]
        axis = column / np.linalg.norm(column)
    else:
        skew = (turn - turn.T) / (2.0 * math.sin(angle))
        axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    part = share * angle
    return np.eye(3) + math.sin(part) * cross + (1.0 - math.cos(part)) * cross @ cross
