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

MEDIA_TYPES = {
    ".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif", ".png": "image/png",
    ".jpg": "image/jpeg", ".svg": "image/svg+xml",
}  # fmt: skip
FILMS = (".mp4", ".webm")

STYLE = """
:root { --ink: #1b1f24; --soft: #626a73; --line: #dfe3e8; --wash: #f5f7f9; --mark: #2f5fc4;
  --good: #1d7a46; --bad: #b3392f; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 1080px; padding: 44px 28px 80px; color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 21px; margin: 52px 0 10px; padding-top: 14px; border-top: 2px solid var(--ink); }
h3 { font-size: 15px; margin: 28px 0 8px; }
p { max-width: 74ch; margin: 8px 0; }
.meta, figcaption, .note { color: var(--soft); font-size: 13px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 10px 0; font-size: 13px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 6px 9px; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; border-bottom-color: var(--ink);
  white-space: normal; }
th:first-child, td:first-child, .left { text-align: left; }
tr.part td { color: var(--soft); border-bottom-style: dotted; }
tr.part td:first-child { padding-left: 22px; }
tr.group td { font-weight: 600; padding-top: 14px; border-bottom-color: var(--ink); }
td small { display: block; color: var(--soft); font-size: 11px; }
.good { color: var(--good); } .bad { color: var(--bad); }
.whisker { display: block; margin: 2px 0 0 auto; }
figure { margin: 14px 0; break-inside: avoid; }
figure img, figure video { display: block; max-width: 100%; border: 1px solid var(--line);
  border-radius: 4px; background: #18191d; }
figure.plot img { border: 0; background: none; }
.grid { display: grid; gap: 18px; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); }
.grid figure { margin: 0; } .grid img, .grid video { width: 100%; }
code, pre { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
pre { background: var(--wash); padding: 12px 14px; border-radius: 4px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
details > summary { cursor: pointer; color: var(--mark); }
@media print { body { max-width: none; padding: 0; font-size: 11px; } h2 { break-after: avoid; }
  table { font-size: 9.5px; } th, td { padding: 3px 5px; } tr { break-inside: avoid; }
  .wide { overflow: visible; } }
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: HTML that is ready, and its class."""

    content: str
    kind: str = ""


def text(value: object) -> str:
    """Returns a value as text that is safe in a page."""
    return html.escape(str(value))


def table(
    head: Sequence[str], rows: Sequence[tuple[str, Sequence[Cell | str]]], *, left: int = 1
) -> str:
    """Returns a table.

    Args:
        head: Headings, plain text.
        rows: Class of the row, and its cells; a `str` is plain text.
        left: How many columns stand to the left.
    """
    parts = ['<div class="wide"><table><thead><tr>']
    for column, name in enumerate(head):
        parts.append(f'<th class="left">{text(name)}</th>' if column < left else
                     f"<th>{text(name)}</th>")  # fmt: skip
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
        line = (
            f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="6" y2="6" stroke="#2f5fc4" '
            'stroke-width="2"/>'
        )
    return (
        '<svg class="whisker" width="90" height="12" viewBox="0 0 90 12" aria-hidden="true">'
        '<line x1="3" x2="87" y1="6" y2="6" stroke="#dfe3e8" stroke-width="2"/>'
        f'{line}<circle cx="{x(value):.1f}" cy="6" r="3" fill="#2f5fc4"/></svg>'
    )


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
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
    )
