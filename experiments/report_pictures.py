"""Pictures of drives, redrawn from their event logs as SVG: moments from above, and maps of routes.

Moments have the ego's heading up; maps have x to the right and y up. ISO 8855 axes, metres.
"""

import math
from collections.abc import Sequence

import numpy as np

from dreamdrive.driving.causes import is_collision
from dreamdrive.experiments.event_log import DriveLog, LogEvent, Ticks
from dreamdrive.experiments.report_html import text
from dreamdrive.experiments.report_roads import path_of, simplified
from dreamdrive.experiments.report_words import KMH, name_of, tick_before

BEFORE_S = (2.0, 1.0, 0.0)
"""The moments that a strip shows, before the infraction."""

TRAIL_S = 3.0
WIDE_M, AHEAD_M, BEHIND_M, GAP_M, TEXT_M = 30.0, 24.0, 13.0, 1.0, 4.0
NOSE_M = 0.9
LINES = ("red_light", "stop_sign")
MAP_MARGIN_M = 18.0
LEGEND = (
    ("ego", "the policy's car"), ("car", "other vehicles"), ("walker", "walkers"),
    ("hit", "who was hit"), ("way", "the route"), ("trail", "the way driven"),
    ("start", "its start"), ("goal", "its end"),
)  # fmt: skip


def legend() -> str:
    """Returns what the colours of the pictures mean."""
    items = [
        f'<span><svg class="key" viewBox="0 0 16 10" aria-hidden="true">{_key(kind)}</svg> '
        f"{text(words)}</span>"
        for kind, words in LEGEND
    ]
    return f'<p class="legend">{"".join(items)}</p>'


def _key(kind: str) -> str:
    if kind in ("way", "trail"):
        return f'<path class="{kind}" d="M0 5h16"/>'
    if kind in ("walker", "start", "goal"):
        return f'<circle class="{kind}" cx="8" cy="5" r="3.5"/>'
    return f'<path class="{kind}" d="M1 1h11l3 4-3 4h-11z"/>'


def strip(
    events: Sequence[LogEvent], log: DriveLog, roads: str, before_s: Sequence[float] = BEFORE_S
) -> str:
    """Returns an infraction and the two seconds before it, from above, the ego's heading up.

    Args:
        events: What happened; several of a moment make one picture, of the first.
        log: The drive; one without ticks has no picture.
        roads: What draws the town's roads, empty without a map.
        before_s: The moments, seconds before the first event.
    """
    event = events[0]
    hit = {event.other for event in events if is_collision(event.cause)}
    ticks = log.ticks
    if ticks is None or not len(ticks):
        return ""
    shown = [(s, tick_before(ticks, event.time_s - s)) for s in before_s if event.time_s >= s]
    frames = []
    for index, (ago_s, tick) in enumerate(shown):
        x = index * (WIDE_M + GAP_M)
        is_last = index == len(shown) - 1
        mark = _mark(event, ticks, tick) if is_last else ""
        # What a contact did to the speed is not what it was hit with.
        told_at = max(0, tick - 1) if is_last and hit else tick
        speed = KMH * float(ticks.column("speed_mps")[told_at])
        when = f"{event.time_s:.1f} s" if is_last else f"\N{MINUS SIGN}{ago_s:.0f} s"
        frames.append(
            f'<svg x="{x:g}" width="{WIDE_M:g}" height="{AHEAD_M + BEHIND_M:g}" '
            f'viewBox="{-WIDE_M / 2:g} {-AHEAD_M:g} {WIDE_M:g} {AHEAD_M + BEHIND_M:g}">'
            '<path class="ground" d="M-99-99h198v198h-198z"/>'
            f"{_moment(log, ticks, tick, hit, roads)}{mark}"
            f"{_scale_bar() if index == 0 else ''}</svg>"
            f'<text x="{x + WIDE_M / 2:g}" y="{AHEAD_M + BEHIND_M + 2.8:g}">'
            f"{when}, {speed:.0f} km/h</text>"
        )
    width = len(shown) * (WIDE_M + GAP_M) - GAP_M
    name = f"{name_of(event.cause)} at {event.time_s:.1f} s, from above"
    return (
        f'<svg class="strip" role="img" aria-label="{text(name)}" '
        f'viewBox="0 0 {width:g} {AHEAD_M + BEHIND_M + TEXT_M:g}" '
        f'style="max-width:{5.2 * width:.0f}px">{"".join(frames)}</svg>'
    )


def _moment(log: DriveLog, ticks: Ticks, tick: int, hit: set[int], roads: str) -> str:
    """Returns one moment in world axes, turned so that the ego heads up."""
    x, y, yaw = (float(ticks.column(name)[tick]) for name in ("x", "y", "yaw_rad"))
    cos, sin = math.cos(yaw), math.sin(yaw)
    turn = (sin, -cos, -cos, -sin, y * cos - x * sin, x * cos + y * sin)
    parts = [f'<g transform="matrix({" ".join(f"{value:.3f}" for value in turn)})">', roads]
    if log.route is not None:
        near = np.flatnonzero(np.hypot(*(log.route - (x, y)).T) < 2.0 * AHEAD_M)
        if len(near):
            way = log.route[near[0] : near[-1] + 1]
            parts.append(f'<path class="way" d="{path_of(way)}"/>')
    since = max(0, tick - round(TRAIL_S / ticks.tick_s))
    trail = np.stack([ticks.column(name)[since : tick + 1] for name in ("x", "y")], axis=1)
    parts.append(f'<path class="trail" d="{path_of(simplified(trail))}"/>')
    for row in np.flatnonzero(ticks.actor_tick == tick):
        number, is_walker, ax, ay, ayaw, _, _, half_length, half_width = ticks.actors[row]
        if math.hypot(ax - x, ay - y) > 1.3 * AHEAD_M:
            continue
        kind = "hit" if int(number) in hit else "walker" if is_walker else "car"
        if is_walker:
            parts.append(f'<circle class="{kind}" cx="{ax:.1f}" cy="{ay:.1f}" r=".7"/>')
        else:
            parts.append(_body(kind, ax, ay, ayaw, half_length, half_width))
    size = (ticks.ego_half_length_m, ticks.ego_half_width_m)
    return "".join([*parts, _body("ego", x, y, yaw, *size), "</g>"])


def _body(kind: str, x: float, y: float, yaw: float, half_length: float, half_width: float) -> str:
    """Returns a vehicle with a pointed nose."""
    nose = min(NOSE_M, half_length)
    side, back = 2.0 * half_length - nose, nose - 2.0 * half_length
    place = f"translate({x:.1f} {y:.1f})rotate({math.degrees(yaw):.0f})"
    shape = (
        f"M{-half_length:.1f} {-half_width:.1f}h{side:.1f}l{nose:.1f} {half_width:.1f}"
        f"l{-nose:.1f} {half_width:.1f}h{back:.1f}z"
    )
    return f'<path class="{kind}" transform="{place}" d="{shape}"/>'


def _mark(event: LogEvent, ticks: Ticks, tick: int) -> str:
    """Returns the mark on the last frame: the line that was crossed, or a ring around the ego."""
    if event.cause in LINES:
        y = -ticks.ego_half_length_m
        return f'<path class="crossed" d="M-2.2 {y:.1f}h4.4"/>'
    return '<circle class="ring" r="4.5"/>'


def _scale_bar() -> str:
    y = BEHIND_M - 1.5
    return (
        f'<path class="bar" d="M{1.5 - WIDE_M / 2:g} {y:g}h10"/>'
        f'<text x="{6.5 - WIDE_M / 2:g}" y="{y - 0.8:g}">10 m</text>'
    )


def route_map(log: DriveLog, events: Sequence[tuple[str, LogEvent]], roads: str) -> str:
    """Returns a map of a route: how far it was driven, and where what happened.

    Args:
        log: The drive; one without ticks has no map.
        events: What is marked, each with its label.
        roads: What draws the town's roads, empty without a map.
    """
    ticks = log.ticks
    if ticks is None or not len(ticks):
        return ""
    driven = np.stack([ticks.column("x"), ticks.column("y")], axis=1)
    whole = driven if log.route is None else np.concatenate([log.route, driven])
    low, high = whole.min(0) - MAP_MARGIN_M, whole.max(0) + MAP_MARGIN_M
    width, height = high - low
    # A route along one axis would be a stripe.
    width, height = max(width, height / 1.6), max(height, width / 2.2)
    left, top = (low + high - (width, height)) / 2
    size = max(width, height) / 42.0
    marks = [f'<path class="trail" d="{path_of(simplified(driven))}"/>']
    if log.route is not None:
        marks.insert(0, f'<path class="way" d="{path_of(simplified(log.route))}"/>')
        end = log.route[-1]
        marks.append(f'<circle class="goal" cx="{end[0]:.1f}" cy="{end[1]:.1f}" r="{size:.1f}"/>')
    marks.append(
        f'<circle class="start" cx="{driven[0, 0]:.1f}" cy="{driven[0, 1]:.1f}" r="{size:.1f}"/>'
    )
    labels = []
    for x, y, label in _apart(events, 2.5 * size):
        radius = size * (1.5 if len(label) < 3 else 2.3)
        labels.append(
            f'<g transform="translate({x:.1f} {-y:.1f})"><circle class="spot" r="{radius:.1f}"/>'
            f'<text class="number" y="{0.65 * size:.1f}" '
            f'style="font-size:{1.9 * size:.1f}px">{text(label)}</text></g>'
        )
    box = f"{left:.1f} {-(top + height):.1f} {width:.1f} {height:.1f}"
    return (
        f'<svg class="map" role="img" aria-label="Map of the route" viewBox="{box}">'
        f'<rect class="ground" x="{left:.1f}" y="{-(top + height):.1f}" width="{width:.1f}" '
        f'height="{height:.1f}"/>'
        f'<g transform="scale(1 -1)">{roads}{"".join(marks)}</g>{"".join(labels)}</svg>'
    )


def _apart(
    events: Sequence[tuple[str, LogEvent]], distance_m: float
) -> list[tuple[float, float, str]]:
    """Returns places with labels; events closer than a distance share a place."""
    found: list[tuple[float, float, list[str]]] = []
    for label, event in events:
        near = [at for at in found if math.hypot(at[0] - event.x, at[1] - event.y) < distance_m]
        if near:
            near[0][2].append(label)
        else:
            found.append((event.x, event.y, [label]))
    return [
        (x, y, ", ".join(labels) if len(labels) < 3 else f"{labels[0]}\N{EN DASH}{labels[-1]}")
        for x, y, labels in found
    ]
