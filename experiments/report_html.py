"""Pieces of an HTML page that needs neither scripts nor other files."""

import base64
import html
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dreamdrive.experiments.report_style import STYLE
from dreamdrive.experiments.scores import Interval
from dreamdrive.experiments.summary import NOTHING

MEDIA_TYPES = {
    ".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif", ".png": "image/png",
    ".jpg": "image/jpeg", ".svg": "image/svg+xml",
}  # fmt: skip
FILMS = (".mp4", ".webm")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: HTML that is ready, and its class."""

    content: str
    kind: str = ""


def text(value: object) -> str:
    """Returns a value as text that is safe in a page."""
    return html.escape(str(value))


def table(
    head: Sequence[Cell | str], rows: Sequence[tuple[str, Sequence[Cell | str]]], *, left: int = 1
) -> str:
    """Returns a table.

    Args:
        head: Headings; a `str` is plain text.
        rows: Class of the row, and its cells; a `str` is plain text.
        left: How many columns stand to the left.
    """
    parts = ['<div class="wide"><table><thead><tr>']
    for column, name in enumerate(head):
        content = name.content if isinstance(name, Cell) else text(name)
        parts.append(f'<th class="left">{content}</th>' if column < left else f"<th>{content}</th>")
    parts.append("</tr></thead><tbody>")
    for kind, cells in rows:
        parts.append(f'<tr class="{kind}">' if kind else "<tr>")
        for column, cell in enumerate(cells):
            content = cell.content if isinstance(cell, Cell) else text(cell)
            names = [cell.kind] if isinstance(cell, Cell) and cell.kind else []
            names += ["left"] if column < left else []
            span = f' colspan="{len(head)}"' if len(cells) == 1 else ""
            parts.append(f'<td class="{" ".join(names)}"{span}>{content}</td>')
        parts.append("</tr>")
    return "".join([*parts, "</tbody></table></div>"])


def whisker(value: float, low: float | None, high: float | None, top: float = 100.0) -> str:
    """Returns a small drawing of an estimate and its interval on a scale from 0 to `top`."""

    def x(number: float) -> float:
        return 3.0 + 84.0 * min(max(number / top, 0.0), 1.0)

    line = ""
    if low is not None and high is not None:
        line = f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="6" y2="6"/>'
    return (
        '<svg class="whisker" width="90" height="12" viewBox="0 0 90 12" aria-hidden="true">'
        f'<line class="scale" x1="3" x2="87" y1="6" y2="6"/>{line}'
        f'<circle cx="{x(value):.1f}" cy="6" r="3"/></svg>'
    )


def number(interval: Interval, digits: int, *, signed: bool = False, drawn: bool = False) -> Cell:
    """Returns an estimate with its interval below it."""
    if interval.value is None:
        return Cell(NOTHING)
    sign = "+" if signed else ""
    content = f"{interval.value:{sign}.{digits}f}"
    if interval.low is not None and interval.high is not None:
        low, high = f"{interval.low:{sign}.{digits}f}", f"{interval.high:{sign}.{digits}f}"
        content += f"<small>[{low}, {high}]</small>"
    if drawn:
        content += whisker(interval.value, interval.low, interval.high)
    return Cell(content)


def plot(svg: bytes, caption: str) -> str:
    """Returns a figure with a drawing, its caption below."""
    return (
        f'<figure class="plot"><img alt="{text(caption)}" src="{data_uri(svg, ".svg")}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def data_uri(content: bytes, suffix: str) -> str:
    """Returns a file's content as an address that holds it."""
    return f"data:{MEDIA_TYPES[suffix]};base64,{base64.b64encode(content).decode()}"


class Media:
    """Puts films and pictures into a page while there is room, and links to them after that.

    Args:
        page: Where the page will stand; links are relative to it.
        budget_bytes: Room for what is put into the page.
    """

    def __init__(self, page: Path, budget_bytes: int) -> None:
        self._folder, self._left = page.resolve().parent, budget_bytes
        self.num_linked = 0

    def figure(self, path: Path, caption: str) -> str:
        """Returns a figure with a film or a picture."""
        suffix = path.suffix.lower()
        source = self._source(path, suffix)
        if suffix in FILMS:
            poster = _still(path)
            shown = f' poster="{data_uri(poster, ".jpg")}"' if poster else ""
            body = (
                f'<video controls loop muted playsinline preload="metadata"{shown} '
                f'src="{source}"></video>'
            )
        else:
            body = f'<img alt="{text(caption)}" src="{source}">'
        return f"<figure>{body}<figcaption>{text(caption)}</figcaption></figure>"

    def _source(self, path: Path, suffix: str) -> str:
        size = path.stat().st_size * 4 // 3
        if size <= self._left:
            self._left -= size
            return data_uri(path.read_bytes(), suffix)
        self.num_linked += 1
        return self.link(path)

    def link(self, path: Path) -> str:
        """Returns the address of a file beside the page."""
        return quote(Path(os.path.relpath(path.resolve(), self._folder)).as_posix())


def _still(path: Path) -> bytes:
    """Returns the frame in the middle of a film as JPEG; empty if it cannot be read."""
    import imageio.v2 as imageio

    try:
        reader: Any = imageio.get_reader(path)
        with reader:
            frames = reader.get_meta_data()
            index = int(frames.get("duration", 0.0) * frames.get("fps", 1.0) / 2)
            frame = reader.get_data(index)
    except (OSError, IndexError, RuntimeError, ValueError):
        return b""
    buffer = io.BytesIO()
    imageio.imwrite(buffer, frame, format="jpg", quality=70)
    return buffer.getvalue()


def page(title: str, body: str) -> str:
    """Returns a whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
    )
