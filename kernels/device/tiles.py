"""Sizes of tiles: enough elements for a program to hide its latency, few enough for registers."""

import triton

ELEMENTS = 2048
"""Elements of a tile that a program of the row-wise kernels aims at."""


def rows_a_tile(num_rows: int, block: int, elements: int = ELEMENTS) -> int:
    """Returns how many rows of `block` channels a tile has, a power of two."""
    return max(1, min(int(triton.next_power_of_2(max(1, num_rows))), elements // block))


def num_warps(elements: int) -> int:
    """Returns the warps of a program over so many elements: 16 elements a lane, 1 to 8 warps."""
    return max(1, min(8, elements // 512))
