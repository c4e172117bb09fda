"""The event log of a drive: JSON lines with every fact that a score may depend on.

The lines are, by their `kind`:

* `start`: schema, route, seed, length of the route, its points, time between ticks, names of the
  columns, where the first junction is, and `unwatched`, the infractions that nobody looked for;
* `ticks`: `rows`, each the values of `TICK_COLUMNS` and a list of the actors around, which are the
  values of `ACTOR_COLUMNS` each; how many rows share a line means nothing;
* `event`: an infraction; events may stand anywhere between start and end;
* `end`: what the drive came to, with faults of the simulator.

ISO 8855 axes, metres, seconds, radians. Shapes: T ticks, M sightings of actors.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.config import from_dict
from dreamdrive.errors import ConfigError, EventLogError
from dreamdrive.experiments.drives import DriveEvent, DriveResult

SCHEMA = 3
TICK_COLUMNS: tuple[str, ...] = (
    "time_s", "progress_m", "outside_m", "x", "y", "yaw_rad", "speed_mps", "yaw_rate_radps",
    "acceleration_ahead_mps2", "acceleration_left_mps2", "lateral_m", "speed_limit_mps",
    "traffic_mps", "steer", "pedal", "road_id", "lane_id", "lane_yaw_rad",
)  # fmt: skip
"""What each tick says of the ego. `progress_m` and `outside_m` are sums since the start,
`lateral_m` is the offset from the route, `traffic_mps` the mean speed of all other vehicles.
`road_id` and `lane_id` are OpenDRIVE's of the driving lane nearest to the ego's centre, and
`lane_yaw_rad` is the direction of its traffic there: an ego that heads against it is on the other
side of the road. A value that was not measured is null."""

_WITHOUT_LANE = TICK_COLUMNS[: TICK_COLUMNS.index("road_id")]
READABLE = {1: _WITHOUT_LANE, 2: _WITHOUT_LANE, SCHEMA: TICK_COLUMNS}
"""The columns of each schema that is read; those that it lacks are unknown at all ticks."""

ACTOR_COLUMNS: tuple[str, ...] = (
    "id", "is_walker", "x", "y", "yaw_rad", "velocity_x", "velocity_y", "half_length_m",
    "half_width_m",
)  # fmt: skip
"""What each tick says of every other vehicle and walker within `SIGHT_M` of the ego.

`id` is a number of its own in this log, from 1, so that two logs of the same drive are alike."""

SIGHT_M = 40.0

UNWATCHED: tuple[str, ...] = ("min_speed", "scenario_timeout", "yield_emergency")
"""Infractions that nobody looks for on this project's own routes: they hold no scripted scenarios,
and their traffic is not that of the leaderboard, to which its minimum speed refers."""

WITH_SCENARIOS: tuple[str, ...] = ("min_speed",)
"""The same on routes with scenarios."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEvent:
    """One infraction.

    Attributes:
        cause: One of `dreamdrive.driving.causes.TERMINATION_CAUSES`, or what routes with scripted
            scenarios add: `scenario_timeout`, `yield_emergency`, `min_speed`.
        time_s: When.
        x: Where the ego was.
        y: The same, positive to the left of x.
        other: Actor that was hit, by its number in the log, 0 for what is no actor; or number of
            the stop line; -1 where there is none.
        detail: Type of the actor that was hit.
        value: Of `min_speed`, the ego's mean speed in percent of the traffic's.
    """

    cause: str
    time_s: float
    x: float
    y: float
    other: int = -1
    detail: str = ""
    value: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticks:
    """The drive tick by tick, the start included.

    Attributes:
        tick_s: Time between two ticks.
        values: One row a tick, in the order of `TICK_COLUMNS`, shape (T, 18); NaN is unknown.
        actors: Actors around, in the order of `ACTOR_COLUMNS`, shape (M, 9).
        actor_tick: The tick of each row of `actors`, ascending, shape (M,).
        ego_half_length_m: Half the ego's length.
        ego_half_width_m: Half its width.
    """

    tick_s: float
    values: NDArray[np.float64]
    actors: NDArray[np.float64]
    actor_tick: NDArray[np.int64]
    ego_half_length_m: float
    ego_half_width_m: float

    def __len__(self) -> int:
        """Returns the number of ticks T."""
        return len(self.values)

    def column(self, name: str) -> NDArray[np.float64]:
        """Returns one of `TICK_COLUMNS`, shape (T,)."""
        return self.values[:, TICK_COLUMNS.index(name)]

    def actor(self, name: str) -> NDArray[np.float64]:
        """Returns one of `ACTOR_COLUMNS`, shape (M,)."""
        return self.actors[:, ACTOR_COLUMNS.index(name)]


@dataclass(frozen=True, kw_only=True, slots=True)
class DriveLog:
    """Everything that is known of one drive.

    Attributes:
        result: What the drive came to, its events in the order of time.
        events: The same events with all that the log says of them.
        ticks: The way, tick by tick; None where only a result was kept.
        unwatched: Infractions that nobody looked for: that none is told says nothing of them.
        route: Points of the route, shape (P, 2); no score depends on them, and logs of older
            versions have none.
        first_junction_m: Length of the route before its first junction, infinite where it has none;
            None where an older version wrote the log.
    """

    result: DriveResult
    events: tuple[LogEvent, ...]
    ticks: Ticks | None = None
    unwatched: tuple[str, ...] = UNWATCHED
    route: NDArray[np.float64] | None = None
    first_junction_m: float | None = None

    def count(self, cause: str) -> int:
        """Returns how often something happened, how the drive ended included."""
        return self.result.count(cause)

    def until(self, time_s: float, cause: str) -> "DriveLog":
        """Returns the log of the same drive, had it been ended earlier.

        Args:
            time_s: When, seconds since the start; the log must have ticks.
            cause: Why.
        """
        assert self.ticks is not None
        way = self.ticks
        num = int(np.searchsorted(way.column("time_s"), time_s + 1e-6, side="right"))
        kept = replace(
            way, values=way.values[:num], actors=way.actors[way.actor_tick < num],
            actor_tick=way.actor_tick[way.actor_tick < num],
        )  # fmt: skip
        progress, outside = kept.column("progress_m"), kept.column("outside_m")
        speed = np.abs(kept.column("speed_mps")[1:])
        result = replace(
            self.result, cause=cause, decisions=num - 1, time_s=float(kept.column("time_s")[-1]),
            progress_m=float(progress[-1]), outside_m=float(outside[-1]),
            outside_route_m=float(np.diff(progress)[np.diff(outside) > 0.0].sum()),
            mean_speed_mps=float(speed.mean()) if len(speed) else 0.0,
        )  # fmt: skip
        events = [event for event in self.events if event.time_s <= time_s]
        return replace(
            make_log(result, events, kept, self.unwatched),
            route=self.route, first_junction_m=self.first_junction_m,
        )  # fmt: skip


def make_log(
    result: DriveResult,
    events: Iterable[LogEvent],
    ticks: Ticks | None = None,
    unwatched: Iterable[str] = UNWATCHED,
) -> DriveLog:
    """Returns a log whose events are in order of time, whatever order they came in."""
    ordered = sorted(events, key=lambda e: (e.time_s, e.cause, e.other, e.detail, e.x, e.y))
    told = tuple(
        DriveEvent(cause=e.cause, time_s=e.time_s, x=e.x, y=e.y, detail=e.detail) for e in ordered
    )
    return DriveLog(
        result=replace(result, events=told), events=tuple(ordered), ticks=ticks,
        unwatched=tuple(unwatched),
    )  # fmt: skip


def log_of_result(result: DriveResult) -> DriveLog:
    """Returns what a result alone tells: ends and events, but no ticks."""
    events = [
        LogEvent(cause=e.cause, time_s=e.time_s, x=e.x, y=e.y, detail=e.detail)
        for e in result.events
    ]
    return make_log(result, events)


def read_log(path: Path) -> DriveLog:
    """Returns the log in a file.

    Raises:
        EventLogError: If there is none, or it cannot be read.
    """
    try:
        return parse_log(path.read_text().splitlines(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise EventLogError(
            f"The event log cannot be read: {error}", where=path, do="Make the drive again."
        ) from error


def parse_log(lines: Iterable[str], where: str = "event log") -> DriveLog:
    """Returns the log that the lines hold.

    Raises:
        EventLogError: If a line is broken, start or end is missing, or the schema is unknown.
    """
    start: dict[str, Any] = {}
    rows: list[list[Any]] = []
    events: list[LogEvent] = []
    result: DriveResult | None = None
    for number, line in enumerate(lines, start=1):
        place = f"{where}:{number}"
        try:
            content = json.loads(line)
            kind = content.pop("kind")
            if kind == "start":
                start = _checked_start(content, place)
            elif kind == "ticks":
                rows += content["rows"]
            elif kind == "event":
                events.append(from_dict(LogEvent, content, place))
            elif kind == "end":
                result = from_dict(DriveResult, content["result"], place)
            else:
                raise EventLogError(f"There is no kind {kind!r}", where=place)
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            if isinstance(error, EventLogError):
                raise
            raise EventLogError(f"This line is broken: {error}", where=place) from error
    if not start or result is None:
        raise EventLogError(
            f"The log has no {'end' if start else 'start'}: the drive was cut short",
            where=where, do="Make the drive again.",
        )  # fmt: skip
    made = make_log(result, events, _ticks(rows, start, where), start["unwatched"])
    return replace(
        made, route=_route(start, where), first_junction_m=_first_junction_m(start, where)
    )


def _checked_start(content: dict[str, Any], place: str) -> dict[str, Any]:
    if content["schema"] not in READABLE:
        raise EventLogError(
            f"The log has schema {content['schema']!r}, this version reads {SCHEMA}", where=place,
            do="Use the version of dreamdrive that wrote it, or a newer one.",
        )  # fmt: skip
    names = (tuple(content["columns"]), tuple(content["actor_columns"]))
    if names != (READABLE[content["schema"]], ACTOR_COLUMNS):
        raise EventLogError("The log has other columns than its schema", where=place)
    if not isinstance(content["unwatched"], list):
        raise EventLogError("The log does not say what was not watched", where=place)
    return content


def _first_junction_m(start: dict[str, Any], where: str) -> float | None:
    if "first_junction_m" not in start:
        return None
    try:
        told = start["first_junction_m"]
        return float("inf") if told is None else float(told)
    except (ValueError, TypeError) as error:
        raise EventLogError(f"The first junction is broken: {error}", where=where) from error


def _route(start: dict[str, Any], where: str) -> NDArray[np.float64] | None:
    points = start.get("points")
    if points is None:
        return None
    try:
        return np.array(points, np.float64).reshape(-1, 2)
    except (ValueError, TypeError) as error:
        raise EventLogError(f"The route is broken: {error}", where=where) from error


def _ticks(rows: list[list[Any]], start: dict[str, Any], where: str) -> Ticks:
    width, around = len(start["columns"]), len(ACTOR_COLUMNS)
    try:
        values = np.full((len(rows), len(TICK_COLUMNS)), np.nan)
        values[:, :width] = np.array([row[:width] for row in rows], np.float64).reshape(-1, width)
        actors = [actor for row in rows for actor in row[width]]
        return Ticks(
            tick_s=float(start["tick_s"]),
            values=values,
            actors=np.array(actors, np.float64).reshape(-1, around),
            actor_tick=np.repeat(np.arange(len(rows)), [len(row[width]) for row in rows]),
            ego_half_length_m=float(start["ego_half_length_m"]),
            ego_half_width_m=float(start["ego_half_width_m"]),
        )
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise EventLogError(f"The ticks are broken: {error}", where=where) from error
