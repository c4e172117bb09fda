"""Draws dream and reality beside each other, so that a person can compare them."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dreamdrive.driving.actions import ACCELERATION, DECISION_DT_S, STEER
from dreamdrive.driving.palette import PALETTE
from dreamdrive.files import write_atomically

ZOOM = 4
MARGIN, LABEL, FOOTER = 10, 24, 52
BAR_ROW, FACTS = 14, 18
INK, DIM, PAPER = (235, 235, 235), (150, 150, 155), (12, 12, 14)
REAL_EDGE, DREAM_EDGE = (110, 110, 115), (255, 190, 60)
LEFT_BAR, GAS_BAR, BRAKE_BAR = (90, 160, 255), (70, 200, 110), (240, 80, 70)
COLOURS = (INK, DIM, PAPER, REAL_EDGE, DREAM_EDGE, LEFT_BAR, GAS_BAR, BRAKE_BAR)
"""All colours that are drawn beside those of the frames."""
LEGEND = (
    "ego", "vehicle", "vehicle_past", "walker", "route", "road", "lane_mark", "red_light",
    "green_light", "stop_sign",
)  # fmt: skip
STRIP_TIMES_S = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
STRIP_ZOOM = 3
Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One window of T frames, the first `context` of which are real on both sides.

    Attributes:
        real: uint8, shape (T, H, W, 3).
        dreamed: Likewise.
        action: The action that led to each frame, shape (T, A), within [-1, 1].
        speed_mps: Recorded speed, shape (T,); None where nobody drives, whose actions have no
            names, whose colours no classes and whose steps no length in seconds.
        risk: Predicted probability that the frame ends the episode, shape (T,).
        context: Real frames that the model saw.
    """

    real: Picture
    dreamed: Picture
    action: NDArray[np.float32]
    speed_mps: NDArray[np.float32] | None
    risk: NDArray[np.float32]
    context: int

    def when(self, steps: int, *, sign: str = "+") -> str:
        """Returns how long a number of steps is, in seconds where that is known."""
        if self.speed_mps is None:
            return f"{steps:{sign}d}"
        return f"{steps * DECISION_DT_S:{sign}.1f} s"


def draw_frame(scenes: list[Scene], t: int) -> Picture:
    """Returns frame t of the film: reality above, dream below, one column for each scene."""
    size = scenes[0].real.shape[1] * ZOOM
    width = MARGIN + len(scenes) * (size + MARGIN)
    # Videos want even sizes.
    bars = BAR_ROW * scenes[0].action.shape[1] + FACTS
    footer = MARGIN if scenes[0].speed_mps is None else FOOTER
    height = LABEL + 2 * (size + LABEL) + bars + footer
    canvas = Image.new("RGB", (width + width % 2, height + height % 2), PAPER)
    pen = ImageDraw.Draw(canvas)
    is_dreaming = t >= scenes[0].context
    below = "dream, same actions" if is_dreaming else "dream: still watching reality"
    _text(pen, (MARGIN, 4), "reality", INK, 15)
    when = scenes[0].when(t - scenes[0].context + 1, sign="+" if is_dreaming else "-")
    _text(pen, (width - MARGIN - 60, 4), when, DREAM_EDGE if is_dreaming else DIM, 15)
    _text(pen, (MARGIN, LABEL + size + 4), below, DREAM_EDGE if is_dreaming else DIM, 15)
    for i, scene in enumerate(scenes):
        left = MARGIN + i * (size + MARGIN)
        edge = DREAM_EDGE if is_dreaming else REAL_EDGE
        _paste(canvas, scene.real[t], (left, LABEL), ZOOM, REAL_EDGE)
        _paste(canvas, scene.dreamed[t], (left, 2 * LABEL + size), ZOOM, edge)
        _bars(pen, (left, 2 * (LABEL + size) + 6), size, scene, t)
    if scenes[0].speed_mps is not None:
        _legend(pen, (MARGIN, height - FOOTER), width - MARGIN)
    return np.asarray(canvas)


def draw_strip(scenes: list[Scene]) -> Picture:
    """Returns all scenes at a few moments: reality above dream, time from left to right."""
    first = scenes[0]
    horizon = len(first.real) - first.context
    moments = [s for s in STRIP_TIMES_S if s <= horizon * DECISION_DT_S + 1e-9]
    size = first.real.shape[1] * STRIP_ZOOM
    side = 70
    width = max(side + len(moments) * (size + MARGIN), 640)
    height = LABEL + len(scenes) * (2 * size + 2 * MARGIN + 6)
    height += 0 if first.speed_mps is None else FOOTER
    canvas = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(canvas)
    for k, moment in enumerate(moments):
        left = side + k * (size + MARGIN)
        steps = round(moment / DECISION_DT_S)
        title = "last real frame" if steps == 0 else first.when(steps)
        _text(pen, (left, 4), title, INK, 14)
        t = first.context - 1 + steps
        for i, scene in enumerate(scenes):
            top = LABEL + i * (2 * size + 2 * MARGIN + 6)
            edge = DREAM_EDGE if moment > 0.0 else REAL_EDGE
            _paste(canvas, scene.real[t], (left, top), STRIP_ZOOM, REAL_EDGE)
            _paste(canvas, scene.dreamed[t], (left, top + size + 6), STRIP_ZOOM, edge)
            if k == 0:
                _text(pen, (MARGIN, top + size // 2), "reality", INK, 14)
                _text(pen, (MARGIN, top + size + size // 2), "dream", DREAM_EDGE, 14)
    if first.speed_mps is not None:
        _legend(pen, (MARGIN, height - FOOTER), width - MARGIN)
    return np.asarray(canvas)


def save_picture(path: Path, picture: Picture) -> None:
    """Writes a picture as PNG.

    Raises:
        StorageError: If it could not be written.
    """
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def _paste(
    canvas: Image.Image, frame: Picture, at: tuple[int, int], zoom: int, edge: tuple[int, int, int]
) -> None:
    large = Image.fromarray(frame.repeat(zoom, axis=0).repeat(zoom, axis=1))
    canvas.paste(large, at)
    x, y = at
    ImageDraw.Draw(canvas).rectangle((x - 1, y - 1, x + large.width, y + large.height), None, edge)


def _bars(pen: ImageDraw.ImageDraw, at: tuple[int, int], width: int, scene: Scene, t: int) -> None:
    """Draws the action and the dream's risk; steer to the left goes to the left."""
    left, top = at
    middle, half = left + width * 5 // 8, width * 3 // 8
    bars = _named(scene, t)
    for row, (name, value, colour) in enumerate(bars):
        y = top + BAR_ROW * row
        _text(pen, (left, y - 2), name, DIM, 12)
        pen.rectangle((middle - half, y + 2, middle + half, y + 10), (40, 40, 44))
        tip = middle + round(max(-1.0, min(1.0, value)) * half)
        pen.rectangle((min(middle, tip), y + 2, max(middle, tip), y + 10), colour)
        pen.line((middle, y, middle, y + 12), INK)
    facts = [] if scene.speed_mps is None else [f"{scene.speed_mps[t]:.1f} m/s"]
    if t >= scene.context:
        facts.append(f"risk of an end {100.0 * float(scene.risk[t]):.0f} %")
    _text(pen, (left, top + BAR_ROW * len(bars) - 1), "   ".join(facts), DIM, 12)


def _named(scene: Scene, t: int) -> list[tuple[str, float, tuple[int, int, int]]]:
    """Returns name, value to the right, and colour of each entry of an action."""
    if scene.speed_mps is None:
        return [(f"action {i}", float(x), LEFT_BAR) for i, x in enumerate(scene.action[t])]
    steer, pedal = float(scene.action[t, STEER]), float(scene.action[t, ACCELERATION])
    foot = ("throttle", pedal, GAS_BAR) if pedal >= 0.0 else ("brake", pedal, BRAKE_BAR)
    return [("steer", -steer, LEFT_BAR), foot]


def _legend(pen: ImageDraw.ImageDraw, at: tuple[int, int], right: int) -> None:
    x, y = at
    for name in LEGEND:
        word = name.replace("_", " ")
        step = 22 + round(pen.textlength(word, _font(12))) + 12
        if x + step > right:
            x, y = at[0], y + 20
        pen.rectangle((x, y + 4, x + 14, y + 14), PALETTE[name], DIM)
        _text(pen, (x + 20, y + 1), word, DIM, 12)
        x += step


def _text(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, colour: tuple[int, int, int],
    size: int,
) -> None:  # fmt: skip
    pen.text(at, text, colour, _font(size))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
