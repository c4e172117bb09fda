"""Writes what an image shows as CARLA's cameras send it: blue, green, red, alpha, (H, W, 4)."""

from typing import Any

import numpy as np
from numba import float32, int32, uint8, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.render.mesh import Tag
from dreamdrive.envs.embedded.render.raster import Image

FARTHEST_M = 1000.0
"""What a depth camera's largest value stands for."""
SKY = int(Tag.SKY)


def depth_pixels(image: Image) -> NDArray[np.uint8]:
    """Returns depths along the optical axis: 1000 (R + 256 G + 65536 B) / (2^24 - 1) metres."""
    written = _canvas(image)
    _write_depth(image.inverse_depth, written)
    return written


def tag_pixels(image: Image) -> NDArray[np.uint8]:
    """Returns semantic tags, in red."""
    written = _canvas(image)
    _write_tags(image.triangle, image.triangles.tag, written)
    return written


def instance_pixels(image: Image) -> NDArray[np.uint8]:
    """Returns semantic tags in red, and 16 bits of the object's number, G + 256 B."""
    written = _canvas(image)
    _write_instances(image.triangle, image.triangles.tag, image.triangles.instance, written)
    return written


def normal_pixels(image: Image) -> NDArray[np.uint8]:
    """Returns normals in the world's axes: x, y, z from -1 to 1 as red, green, blue."""
    written = _canvas(image)
    _write_normals(image.triangle, image.triangles.normal, written)
    return written


def _canvas(image: Image) -> NDArray[np.uint8]:
    return np.empty((*image.triangle.shape, 4), np.uint8)


@compiled(void(float32[:, ::1], uint8[:, :, ::1]))
def _write_depth(inverse_depth: Any, written: Any) -> None:
    for v in range(written.shape[0]):
        for u in range(written.shape[1]):
            value = 0xFFFFFF
            if inverse_depth[v, u] * FARTHEST_M > 1.0:
                value = int(0xFFFFFF / (FARTHEST_M * inverse_depth[v, u]) + 0.5)
            written[v, u, 0] = value >> 16
            written[v, u, 1] = (value >> 8) & 0xFF
            written[v, u, 2] = value & 0xFF
            written[v, u, 3] = 255


@compiled(void(int32[:, ::1], uint8[::1], uint8[:, :, ::1]))
def _write_tags(triangle: Any, tag: Any, written: Any) -> None:
    for v in range(written.shape[0]):
        for u in range(written.shape[1]):
            t = triangle[v, u]
            written[v, u, 0] = written[v, u, 1] = 0
            written[v, u, 2] = tag[t] if t >= 0 else SKY
            written[v, u, 3] = 255


@compiled(void(int32[:, ::1], uint8[::1], int32[::1], uint8[:, :, ::1]))
def _write_instances(triangle: Any, tag: Any, instance: Any, written: Any) -> None:
    for v in range(written.shape[0]):
        for u in range(written.shape[1]):
            t = triangle[v, u]
            number = instance[t] if t >= 0 else 0
            written[v, u, 0] = (number >> 8) & 0xFF
            written[v, u, 1] = number & 0xFF
            written[v, u, 2] = tag[t] if t >= 0 else SKY
            written[v, u, 3] = 255


@compiled(void(int32[:, ::1], float32[:, ::1], uint8[:, :, ::1]))
def _write_normals(triangle: Any, normal: Any, written: Any) -> None:
    for v in range(written.shape[0]):
        for u in range(written.shape[1]):
            t = triangle[v, u]
            for d in range(3):
                value = 127.5 * (normal[t, d] + 1.0) if t >= 0 else 0.0
                written[v, u, 2 - d] = np.uint8(min(max(value, 0.0), 255.0))
            written[v, u, 3] = 255
