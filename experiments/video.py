"""Films of drives: the bird's-eye view, enlarged, beside what happens in it."""

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dreamdrive.driving.palette import PALETTE
from dreamdrive.errors import StorageError
from dreamdrive.experiments.report_words import name_of
from dreamdrive.experiments.scores import SCORER

SCALE = 7
PANEL = 256
"""Width of the text beside the view, pixels."""

STRIDE = 2
FPS = 10.0
"""One frame in two decisions at 10 Hz: films run at twice the speed of life."""

QUALITY = "27"
BACKGROUND, INK, FAINT, RED = (18, 20, 24), (236, 238, 240), (140, 146, 154), (240, 96, 88)
ROUTE, GO, STOP = PALETTE["route"], (88, 184, 120), (224, 96, 80)
BAR = (44, 48, 56)
SHOWN_EVENTS = 6
FRESH_S = 1.5
"""For so long an infraction is shown as just having happened."""

LEGEND = (
    ("ego", "this car"), ("route", "its route"), ("vehicle", "vehicles"), ("walker", "walkers"),
    ("red_light", "stop: red"), ("green_light", "go: green"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Caption:
    """What is written beside a frame.

    Attributes:
        policy: Who drives.
        route: On which route.
        time_s: Simulated time.
        speed_mps: Speed.
        progress: Share of the route behind, 0 to 1.
        score: Driving score if it ended now; None where nobody scores.
        action: Steer and acceleration, in [-1, 1].
        events: Infractions so far as (time in s, cause).
        cause: Why the drive ended; empty while it goes on.
    """

    policy: str
    route: str
    time_s: float
    speed_mps: float
    progress: float
    score: float | None = None
    action: tuple[float, float] = (0.0, 0.0)
    events: Sequence[tuple[float, str]] = ()
    cause: str = ""


def compose(view: NDArray[np.uint8], caption: Caption) -> NDArray[np.uint8]:
    """Returns a frame of a film.

    Args:
        view: Bird's-eye view, shape (H, W, 3).
        caption: What stands beside it.

    Returns:
        Shape (H·SCALE, W·SCALE + PANEL, 3).
    """
    large = view.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    height, width = large.shape[:2]
    image = Image.new("RGB", (width + PANEL, height), BACKGROUND)
    image.paste(Image.fromarray(large), (0, 0))
    draw = ImageDraw.Draw(image)
    x, right = width + 18, width + PANEL - 18
    draw.text((x, 16), _fitting(caption.policy, 20), INK, _font(22))
    draw.text((x, 46), _fitting(caption.route, 30), FAINT, _font(14))
    draw.text((x, 84), f"{caption.speed_mps * 3.6:.0f}", INK, _font(44))
    draw.text((x + 66, 112), "km/h", FAINT, _font(14))
    draw.text((right, 112), f"{caption.time_s:.1f} s", FAINT, _font(14), anchor="ra")
    draw.text((x, 138), "of the route driven", FAINT, _font(12))
    draw.text((right, 138), f"{100.0 * caption.progress:.0f} %", INK, _font(12), anchor="ra")
    _bar(draw, (x, 155, right, 163), 0.0, caption.progress, ROUTE)
    if caption.score is not None:
        draw.text((x, 172), f"score so far, {SCORER}", FAINT, _font(12))
        draw.text((right, 172), f"{caption.score:.0f}", INK, _font(12), anchor="ra")
    steer, pedal = caption.action
    _lever(draw, (x, 194, right, 208), ("left", "right"), 0.5 - steer / 2, (150, 156, 164))
    _lever(draw, (x, 213, right, 227), ("brake", "gas"), 0.5 + pedal / 2, GO if pedal > 0 else STOP)
    y = 240
    for time_s, cause in list(caption.events)[-SHOWN_EVENTS:]:
        is_fresh = caption.time_s - time_s < FRESH_S
        if is_fresh:
            draw.rectangle((x - 6, y - 2, right + 6, y + 17), fill=RED)
        told = _fitting(f"{time_s:.1f} s  {name_of(cause)}", 32)
        draw.text((x, y), told, BACKGROUND if is_fresh else RED, _font(13))
        y += 21
    for index, (kind, words) in enumerate(LEGEND):
        left, top = x + 78 * (index % 3), height - 72 + 16 * (index // 3)
        draw.rectangle((left, top + 3, left + 9, top + 12), fill=PALETTE[kind])
        draw.text((left + 14, top), words, FAINT, _font(12))
    if caption.cause:
        draw.text((x, height - 32), _fitting(name_of(caption.cause), 26), INK, _font(18))
    return np.asarray(image)


def _lever(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], ends: tuple[str, str], end: float,
    colour: tuple[int, int, int],
) -> None:  # fmt: skip
    """Draws how far something is moved from its middle, with what its two ends mean."""
    left, top, right, _ = box
    _bar(draw, box, 0.5, end, colour)
    draw.text((left + 4, top), ends[0], INK, _font(11))
    draw.text((right - 4, top), ends[1], INK, _font(11), anchor="ra")


def _font(size: int) -> Any:
    if size not in _FONTS:
        _FONTS[size] = ImageFont.load_default(size)
    return _FONTS[size]


_FONTS: dict[int, Any] = {}


def _fitting(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _bar(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], start: float, end: float,
    colour: tuple[int, int, int],
) -> None:  # fmt: skip
    """Draws a bar from one share of a box to another."""
    left, top, right, bottom = box
    low, high = sorted((min(max(start, 0.0), 1.0), min(max(end, 0.0), 1.0)))
    draw.rectangle(box, fill=BAR)
    span = right - left
    draw.rectangle((left + low * span, top, left + high * span, bottom), fill=colour)


class Film:
    """Writes frames to an mp4 that stands at its path whole or not at all; a context manager.

    Leaving the context without `keep` drops what was filmed.

    Args:
        path: Where the film shall stand.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._aside = self.path.with_name(f".{self.path.stem}.{uuid.uuid4().hex[:8]}.tmp.mp4")
        self._writer: Any = None

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Adds one frame.

        Raises:
            StorageError: If it could not be written.
        """
        with self._storage():
            if self._writer is None:
                import imageio.v2 as imageio

                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._writer = imageio.get_writer(
                    self._aside, fps=FPS, codec="libx264", quality=None, macro_block_size=2,
                    output_params=["-crf", QUALITY, "-preset", "veryfast", "-threads", "1",
                                   "-movflags", "+faststart"],
                )  # fmt: skip
            self._writer.append_data(frame)

    def keep(self) -> None:
        """Closes the film and puts it at its path.

        Raises:
            StorageError: If it could not be written.
        """
        with self._storage():
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()
                self._aside.replace(self.path)

    def __enter__(self) -> "Film":
        """Starts with no frame."""
        return self

    def __exit__(self, *error: object) -> None:
        """Drops what was not kept."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()
        self._aside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _storage(self) -> Any:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"Could not write the film: {error}", where=self.path,
                do="Free some space, then run the same command again.",
            ) from error  # fmt: skip
