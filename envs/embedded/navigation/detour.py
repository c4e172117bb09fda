"""The file that CARLA's client reads navigation meshes from: Detour's, with one tile.

Axes there are x, height, y of CARLA's; numbers are little-endian.

Reference:
    Recast Navigation's DetourNavMesh.h, navigation mesh version 7 with 32-bit references, in the
    container "MSET", version 1, of its demo.
"""

import struct

import numpy as np
from numpy.typing import NDArray

SET_MAGIC, SET_VERSION = b"TESM", 1
TILE_MAGIC, TILE_VERSION = b"VAND", 7
MAX_POLYGONS, MAX_POINTS = 0x7FFE, 0xFFFE
"""Sides name their neighbours in 15 bits, corners are named in 16."""
CORNERS = 6
BOUNDARY = (1 << 0, 1 << 2, 1 << 4)
"""Flags of a triangle's sides that belong to the outline of its polygon."""
AGENT_HEIGHT_M, AGENT_RADIUS_M, AGENT_CLIMB_M = 1.8, 0.3, 0.4
LINK_BYTES = 12
POLYGON = np.dtype([
    ("first_link", "<u4"), ("corners", "<u2", CORNERS), ("beside", "<u2", CORNERS),
    ("flags", "<u2"), ("count", "u1"), ("area", "u1"),
])  # fmt: skip
DETAIL = np.dtype([
    ("first_point", "<u4"), ("first_triangle", "<u4"), ("num_points", "u1"),
    ("num_triangles", "u1"), ("unused", "<u2"),
])  # fmt: skip


def detour_file(
    points: NDArray[np.float64], corners: list[list[int]], beside: list[list[int]],
    areas: list[int],
) -> bytes:  # fmt: skip
    """Returns a navigation mesh as a file.

    Args:
        points: Corners as x, y and height, shape (n, 3).
        corners: Those of each polygon, clockwise in a drawing with x right and y upwards.
        beside: The polygon beyond each side, from its corner to the next; -1 where none is.
        areas: What each polygon is to the client; its flag is the bit of that number.

    Raises:
        ValueError: If there are more polygons or points than a tile holds, or none.
    """
    if not 0 < len(corners) <= MAX_POLYGONS or len(points) > MAX_POINTS:
        raise ValueError(
            f"a tile holds 1 to {MAX_POLYGONS} polygons and up to {MAX_POINTS} points, "
            f"not {len(corners)} and {len(points)}"
        )
    polygons = np.zeros(len(corners), POLYGON)
    details = np.zeros(len(corners), DETAIL)
    triangles: list[tuple[int, int, int, int]] = []
    for row, detail, own, others, area in zip(
        polygons, details, corners, beside, areas, strict=True
    ):
        count = len(own)
        row["corners"][:count] = own
        row["beside"][:count] = np.array(others) + 1
        row["flags"], row["count"], row["area"] = 1 << area, count, area
        detail["first_triangle"], detail["num_triangles"] = len(triangles), count - 2
        for k in range(2, count):
            flags = BOUNDARY[1]
            flags |= BOUNDARY[0] if k == 2 else 0
            flags |= BOUNDARY[2] if k == count - 1 else 0
            triangles.append((0, k - 1, k, flags))
    upright = points[:, [0, 2, 1]].astype("<f4")
    low, high = upright.min(0), upright.max(0)
    num_links = int(polygons["count"].sum())
    header = struct.pack(
        "<4s4iI9i3f3f3ff", TILE_MAGIC, TILE_VERSION, 0, 0, 0, 0, len(corners), len(points),
        num_links, len(corners), 0, len(triangles), 0, 0, len(corners), AGENT_HEIGHT_M,
        AGENT_RADIUS_M, AGENT_CLIMB_M, *low, *high, 1.0,
    )  # fmt: skip
    # What an offset leads to begins at a multiple of four, as all of these parts do.
    tile = b"".join([
        header, upright.tobytes(), polygons.tobytes(), bytes(LINK_BYTES * num_links),
        details.tobytes(), np.array(triangles, np.uint8).tobytes(),
    ])  # fmt: skip
    size = np.maximum(high - low, 1.0) + 1.0
    parameters = struct.pack("<3f2f2i", *low, size[0], size[2], 1, 1 << 15)
    # The reference of the first tile, in its first life: a number above those of its polygons.
    reference = 1 << 15
    return b"".join([
        SET_MAGIC, struct.pack("<2i", SET_VERSION, 1), parameters,
        struct.pack("<Ii", reference, len(tile)), tile,
    ])  # fmt: skip
