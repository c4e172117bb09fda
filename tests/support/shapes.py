"""Triangles by hand, for tests of what looks at them."""

from types import SimpleNamespace

import numpy as np

from dreamdrive.envs.embedded.render.mesh import MeshBuilder
from dreamdrive.envs.embedded.render.paint import paint
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.ray_tree import RayTree
from dreamdrive.envs.embedded.render.scene import PLACE, Triangles
from dreamdrive.envs.embedded.render.shadows import Shadows
from dreamdrive.envs.embedded.render.still import GROUP
from dreamdrive.envs.embedded.render.view import Lens
from dreamdrive.envs.embedded.render.weather import light_of


def triangles_of(builder: MeshBuilder) -> Triangles:
    """Returns a builder's triangles as those of a scene in which nothing moves."""
    mesh = builder.mesh()
    groups = np.zeros(min(len(mesh), 1), GROUP)
    if len(mesh):
        groups["end"] = len(mesh)
        groups["low"], groups["high"] = mesh.points.min((0, 1)), mesh.points.max((0, 1))
    return Triangles(
        mesh.points, mesh.normals(), mesh.colour, mesh.tag, mesh.instance, mesh.finish, len(mesh),
        groups, 1, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, PLACE),
        np.zeros((0, 3, 3)), 0.0,
    )  # fmt: skip


def look_at(builder, weather=(), world=None):
    """Returns what sensors take for a frame of a world with nothing but a builder's triangles."""
    triangles = triangles_of(builder)

    def coloured(pose, lens, samples):
        image = Image(triangles, pose, Lens(samples * lens.width, samples * lens.height, lens.fov))
        light = light_of(weather)
        return paint(image, light, Shadows().around(image.camera[0], light, triangles), samples)

    return SimpleNamespace(
        triangles=triangles, weather=weather, world=world, describe=lambda actor: actor,
        image=lambda pose, lens: Image(triangles, pose, lens), cast=RayTree(triangles).cast,
        coloured=coloured,
    )  # fmt: skip


def wall(builder, distance, tag, *, half=50.0, instance=7):
    """Adds a wall `distance` metres ahead of the origin, which looks along x."""
    corners = [(distance, a * half, b * half) for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    builder.polygon(corners, tag, (0.5, 0.5, 0.5), instance=instance)
