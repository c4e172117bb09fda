"""Traffic signs on their posts: stop signs and speed limits."""

import math

from dreamdrive.envs.embedded.render.furniture import STEEL, add_disc, add_panel
from dreamdrive.envs.embedded.render.mesh import Colour, MeshBuilder, Tag
from dreamdrive.envs.embedded.town_signals import TownSignal

SIGN_M = 2.3
RED: Colour = (0.72, 0.08, 0.08)
WHITE: Colour = (0.9, 0.9, 0.9)
BLACK: Colour = (0.06, 0.06, 0.06)
STROKES = (0x77, 0x12, 0x5D, 0x5B, 0x3A, 0x6B, 0x6F, 0x52, 0x7F, 0x7B)
"""The strokes of the digits 0 to 9: top, upper left, upper right, middle, lower left, lower right,
bottom, from the highest of seven bits to the lowest."""
DIGIT_M, THICK_M = (0.075, 0.14), 0.022
"""Half the width and height of a digit, and half the width of its strokes."""


def add_sign(builder: MeshBuilder, signal: TownSignal, actor: int) -> None:
    """Adds a post with a sign that faces the traffic that it is for.

    Args:
        builder: Where to.
        signal: The sign.
        actor: Its actor, the instance of its triangles.
    """
    back = math.radians(signal.yaw_deg) + math.pi
    post = (0.04, 0.04, SIGN_M / 2.0)
    centre = (signal.x, signal.y, signal.z + SIGN_M / 2.0)
    builder.box(centre, post, back, Tag.POLE, STEEL, instance=actor)
    middle = (signal.x, signal.y, signal.z + SIGN_M)
    inner, outer = (WHITE, RED) if signal.value else (RED, WHITE)
    for out, radius, colour in ((0.05, 0.38, outer), (0.06, 0.30 if signal.value else 0.34, inner)):
        add_disc(builder, middle, back, out, radius, Tag.TRAFFIC_SIGN, colour, instance=actor)
    if signal.value:
        _add_number(builder, middle, back, f"{signal.value:.0f}", actor)
    else:
        add_panel(
            builder, middle, back, 0.07, 0.0, (0.22, 0.07), Tag.TRAFFIC_SIGN, WHITE, instance=actor
        )
    add_disc(builder, middle, back + math.pi, 0.05, 0.38, Tag.TRAFFIC_SIGN, STEEL, instance=actor)


def _add_number(
    builder: MeshBuilder, middle: tuple[float, float, float], yaw: float, text: str, actor: int
) -> None:
    """Adds digits that are read from where `yaw` points."""
    (wide, tall), step = DIGIT_M, 2.0 * DIGIT_M[0] + 0.04
    flat, upright = (wide, THICK_M), (THICK_M, tall / 2.0)
    places = (
        (0.0, tall, flat), (wide, tall / 2.0, upright), (-wide, tall / 2.0, upright),
        (0.0, 0.0, flat), (wide, -tall / 2.0, upright), (-wide, -tall / 2.0, upright),
        (0.0, -tall, flat),
    )  # fmt: skip
    for index, digit in enumerate(text):
        centre = step * ((len(text) - 1) / 2.0 - index)
        for bit, (across, up, half) in enumerate(places):
            if STROKES[int(digit)] >> (6 - bit) & 1:
                at = (middle[0], middle[1], middle[2] + up)
                add_panel(
                    builder, at, yaw, 0.07, centre + across, half, Tag.TRAFFIC_SIGN, BLACK,
                    instance=actor,
                )  # fmt: skip
