"""Tiles: how large they are, and how they are multiplied."""

import triton
import triton.language as tl

from dreamdrive.kernels.dispatch import INTERPRETED

IS_INTERPRETED = tl.constexpr(INTERPRETED)

ELEMENTS = 2048
"""Elements of a tile that a program of the row-wise kernels aims at: enough to hide its latency,
few enough for its registers."""


def rows_a_tile(num_rows: int, block: int, elements: int = ELEMENTS) -> int:
    """Returns how many rows of `block` channels a tile has, a power of two."""
    return max(1, min(int(triton.next_power_of_2(max(1, num_rows))), elements // block))


def num_warps(elements: int) -> int:
    """Returns the warps of a program over so many elements: 16 elements a lane, 1 to 8 warps."""
    return max(1, min(8, elements // 512))


@triton.jit
def product(a, b, PRECISION: tl.constexpr):
    """Returns the matrix product of two tiles, summed in float32."""
    if IS_INTERPRETED:
        # The interpreter would multiply the bits of 16-bit brain floats as if they were integers;
        # products of two of them are exact in float32.
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision=PRECISION)
