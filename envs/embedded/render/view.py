"""Where a sensor is and how it looks: poses with all three angles, and pinhole cameras."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Pose(NamedTuple):
    """A place in metres and CARLA's angles in degrees."""

    x: float
    y: float
    z: float
    pitch: float
    yaw: float
    roll: float

    def axes(self) -> NDArray[np.float64]:
        """Returns the unit vectors ahead, to the right and up, as rows, shape (3, 3).

        Positive angles turn the nose up, to the right, and the right side down.
        """
        cp, sp = math.cos(math.radians(self.pitch)), math.sin(math.radians(self.pitch))
        cy, sy = math.cos(math.radians(self.yaw)), math.sin(math.radians(self.yaw))
        cr, sr = math.cos(math.radians(self.roll)), math.sin(math.radians(self.roll))
        return np.array(
            [
                [cp * cy, cp * sy, sp],
                [cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, -cp * sr],
                [-cy * sp * cr - sy * sr, cy * sr - sy * sp * cr, cp * cr],
            ]
        )


def on_spring_arm(pose: Pose) -> Pose:
    """Returns where a camera on a spring arm is, relative to its parent.

    As in CARLA, the arm leads from the parent to the camera, which looks along it at the parent;
    its own angles are added in the arm's axes. The arm has no spring here.
    """
    level = math.hypot(pose.x, pose.y)
    pitch, yaw = math.atan2(-pose.z, level), math.atan2(-pose.y, -pose.x) if level else 0.0
    arm = Pose(0.0, 0.0, 0.0, math.degrees(pitch), math.degrees(yaw), 0.0)
    return Pose(pose.x, pose.y, pose.z, *angles_of(pose.axes() @ arm.axes()))


def attached(parent: Pose, pose: Pose) -> Pose:
    """Returns where something is in the world that has a pose relative to its parent."""
    axes = parent.axes()
    x, y, z = (float(value) for value in np.array(parent[:3]) + np.array(pose[:3]) @ axes)
    return Pose(x, y, z, *angles_of(pose.axes() @ axes))


def angles_of(axes: NDArray[np.float64]) -> tuple[float, float, float]:
    """Returns pitch, yaw and roll in degrees of unit vectors ahead, to the right and up."""
    ahead, right, up = axes
    pitch = math.asin(min(max(float(ahead[2]), -1.0), 1.0))
    yaw, roll = math.atan2(ahead[1], ahead[0]), math.atan2(-right[2], up[2])
    return math.degrees(pitch), math.degrees(yaw), math.degrees(roll)


class Lens(NamedTuple):
    """A pinhole camera: pixels across and down, and its horizontal field of view in degrees."""

    width: int
    height: int
    fov: float

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.width / (2.0 * math.tan(math.radians(self.fov) / 2.0))


def camera_rows(pose: Pose, lens: Lens) -> NDArray[np.float64]:
    """Returns a camera as the kernels take it, shape (5, 3).

    The rows are its place, its axes ahead, right and up, and (focal length, middle column, middle
    row) in pixels. The ray through the middle of pixel (u, v) is
    `ahead + right (u + 0.5 - middle column) / focal - up (v + 0.5 - middle row) / focal`.
    """
    middle = (lens.focal, lens.width / 2.0, lens.height / 2.0)
    return np.vstack([[pose.x, pose.y, pose.z], pose.axes(), middle])
