"""The part of a report that shows drives: the worst first, what went wrong in them, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamdrive.errors import EventLogError
from dreamdrive.experiments.drives import Key, Trial, drive_path
from dreamdrive.experiments.event_log import DriveLog, LogEvent
from dreamdrive.experiments.report_html import Cell, Media, table, text
from dreamdrive.experiments.report_pictures import legend, route_map, strip
from dreamdrive.experiments.report_roads import Roads
from dreamdrive.experiments.report_words import (
    describe,
    ending,
    last_line,
    name_of,
    place_of,
    standing,
)
from dreamdrive.experiments.scored_drives import load_log

NUM_WORST = 10
PER_DRIVE = 4
"""Pictures of one drive at most."""

SAME_S = 1.0
"""What happens again with the same actor within this time is told once."""

MAX_LISTED = 400
MOVED_M = 1.0
"""A drive that came no further needs no map."""

STOOD = ("blocked", "time_limit")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownDrive:
    """A drive as the summary tells it.

    Attributes:
        policy: Who drove.
        route: Where.
        trial: Seed of the traffic, and repetition.
        row: Driving score, completion, cause and events.
    """

    policy: str
    route: str
    trial: Trial
    row: Mapping[str, Any]

    @property
    def rank(self) -> tuple[Any, ...]:
        """Worse drives come first."""
        return self.row["driving_score"], self.row["completion_pct"], self.route, self.trial


def drives_of(summary: Mapping[str, Any]) -> dict[str, list[ShownDrive]]:
    """Returns every policy's drives, the worst first."""
    found: dict[str, list[ShownDrive]] = {}
    for row in summary["routes"]:
        for policy, drive in row["policies"].items():
            trial = Trial(row["seed"], row.get("repetition", 0))
            shown = ShownDrive(policy=policy, route=row["route"], trial=trial, row=drive)
            found.setdefault(policy, []).append(shown)
    return {policy: sorted(drives, key=lambda d: d.rank) for policy, drives in found.items()}


class DrivesPart:
    """Shows the drives of one evaluation.

    Args:
        summary: What `summary.json` holds.
        folder: The evaluation's folder.
        roads: Draws towns.
        media: Links films.
        pictures: How many infractions are drawn at most.
    """

    def __init__(
        self, summary: Mapping[str, Any], folder: Path, roads: Roads, media: Media, pictures: int
    ) -> None:
        self.by_policy = drives_of(summary)
        self.broken: list[str] = []
        self._folder, self._roads, self._media = folder, roads, media
        self._share = pictures // max(1, len(self.by_policy))
        self._last: tuple[tuple[str, Key], DriveLog | None] | None = None

    def worst(self) -> str:
        """Returns the worst drives of every policy; of the best policy they stand open."""
        best = self._best()
        parts = [legend()] if best else []
        for policy, drives in self.by_policy.items():
            shown = [drive for drive in drives if not _is_clean(drive)][:NUM_WORST]
            count = f"{len(drives)} drive{'s' * (len(drives) != 1)}"
            if not shown:
                parts.append(f"<p><b>{text(policy)}</b>: {count}, nothing wrong.</p>")
                continue
            faulty = sum(not _is_clean(drive) for drive in drives)
            told = f"<b>{text(policy)}</b>: {count}, something wrong in {faulty}"
            told += f"; the {len(shown)} worst" * (len(shown) < faulty)
            is_open = " open" if policy == best else ""
            left = self._share
            cards = []
            for rank, drive in enumerate(shown, start=1):
                card, used = self._card(rank, drive, left)
                cards.append(card)
                left -= used
            body = "".join(cards)
            parts.append(
                f'<details class="policy"{is_open}><summary>{told}</summary>{body}</details>'
            )
        return "".join(parts)

    def _best(self) -> str:
        """Returns the policy with the best mean score that has something to show."""
        means = {
            policy: sum(drive.row["driving_score"] for drive in drives) / len(drives)
            for policy, drives in self.by_policy.items()
            if not all(map(_is_clean, drives))
        }
        return max(means, key=lambda name: means[name]) if means else ""

    def _log(self, drive: ShownDrive) -> DriveLog | None:
        """Returns a drive's log; only the last one is kept, since all of them are large."""
        key = (drive.policy, (drive.route, drive.trial))
        if self._last is None or self._last[0] != key:
            path, log = drive_path(self._folder, *key), None
            try:
                log = load_log(path) if path.is_file() else None
            except EventLogError as error:
                self.broken.append(str(error))
            self._last = (key, log)
        return self._last[1]

    def _card(self, rank: int, drive: ShownDrive, left: int) -> tuple[str, int]:
        """Returns a drive in words and pictures, and how many pictures it took."""
        log, row = self._log(drive), drive.row
        head = (
            f"<h4>{rank}. {row['driving_score']:.0f} of 100 points: "
            f"{text(drive.route)}, seed {drive.trial}</h4>"
        )
        if log is None:
            causes = [cause for _, cause in row["events"]]
            words = "; ".join(map(name_of, dict.fromkeys([*causes, row["cause"]])))
            told = f"{row['completion_pct']:.0f} % of the route: {words}."
            return f'<article class="drive">{head}<p>{text(told)}</p></article>', 0
        events = once(log.events)
        items = [
            f"<li><b>{event.time_s:.1f} s</b> {text(describe(event, log))}"
            + (f" {times} contacts, less than {SAME_S:g} s apart." if times > 1 else "")
            + f' <span class="place">At ({place_of(event)}).</span></li>'
            for event, times in events
        ]
        moved = log.result.progress_m > MOVED_M or bool(events)
        roads = self._roads.use(log.result.town) if log.ticks is not None and moved else ""
        strips = _strips(log, events, roads, min(PER_DRIVE, left)) if moved else []
        marks = [(str(label), event) for label, (event, _) in enumerate(events, start=1)]
        drawn = route_map(log, marks, roads) if left > 0 and moved else ""
        body = f"<p>{text(' '.join(_told(log)))}{self._film(drive)}</p>"
        body += f"<ol>{''.join(items)}</ol>" if items else ""
        shown = f'<div class="strips">{"".join(strips)}</div>' if strips else ""
        beside = f'<div class="beside">{drawn}<div>{body}</div></div>'
        return f'<article class="drive">{head}{beside}{shown}</article>', len(strips)

    def _film(self, drive: ShownDrive) -> str:
        film = self._folder / "videos" / drive.policy / f"{drive.route}-{drive.trial}.mp4"
        return f' <a href="{self._media.link(film)}">Film</a>' if film.is_file() else ""

    def every_infraction(self) -> str:
        """Returns every infraction of every drive, policy by policy, in the order of the routes."""
        rows: list[tuple[str, list[Cell | str]]] = []
        total = 0
        for drives in self.by_policy.values():
            for drive in sorted(drives, key=lambda d: (d.route, d.trial)):
                total += len(drive.row["events"])
                if len(rows) < MAX_LISTED:
                    rows += self._listed(drive)
        if not rows:
            return '<p class="note">There were none.</p>'
        more = f'<p class="note">And {total - len(rows)} more.</p>' if total > len(rows) else ""
        head = ["Policy", "Route", "Seed", "s", "At x, y (m)", "What happened"]
        return (
            f"<details><summary>All {total} infractions, in words</summary>"
            f"{table(head, rows, left=2)}{more}</details>"
        )

    def _listed(self, drive: ShownDrive) -> list[tuple[str, list[Cell | str]]]:
        """Returns a row for each infraction of a drive."""
        log = self._log(drive)
        if log is None:
            told = [(time_s, "", name_of(cause)) for time_s, cause in drive.row["events"]]
        else:
            told = [(e.time_s, place_of(e), describe(e, log)) for e in log.events]
        where = [drive.policy, drive.route, str(drive.trial)]
        return [
            ("", [*where, f"{time_s:.1f}", place, Cell(text(words), "left wrap")])
            for time_s, place, words in told
        ]


def _strips(
    log: DriveLog, events: Sequence[tuple[LogEvent, int]], roads: str, at_most: int
) -> list[str]:
    """Returns pictures of what happened, each of all that happened alike at one moment."""
    moments: list[list[tuple[int, LogEvent]]] = []
    for label, (event, _) in enumerate(events, start=1):
        last = moments[-1][0][1] if moments else None
        if last and last.cause == event.cause and event.time_s - last.time_s <= SAME_S:
            moments[-1].append((label, event))
        else:
            moments.append([(label, event)])
    found = []
    for moment in moments[:at_most]:
        labels = [str(label) for label, _ in moment]
        told = labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"
        drawn = strip([event for _, event in moment], log, roads)
        found.append((f"{told}: {name_of(moment[0][1].cause)}", drawn))
    if log.result.cause in STOOD and log.ticks is not None and len(log.ticks):
        x, y = (float(log.ticks.column(name)[-1]) for name in ("x", "y"))
        end = LogEvent(cause=log.result.cause, time_s=log.result.time_s, x=x, y=y)
        drawn = strip([end], log, roads, (0.0,))
        found = [*found[: max(0, at_most - 1)], ("where it was at the end", drawn)][:at_most]
    return [
        f"<figure>{drawn}<figcaption>{text(caption)}</figcaption></figure>"
        for caption, drawn in found
        if drawn
    ]


def once(events: Sequence[LogEvent]) -> list[tuple[LogEvent, int]]:
    """Returns events with their number, repeated contacts with one actor told once."""
    found: list[list[LogEvent]] = []
    for event in events:
        same = [
            told for told in found
            if (told[0].cause, told[0].other) == (event.cause, event.other)
            and event.time_s - told[-1].time_s <= SAME_S
        ]  # fmt: skip
        if same:
            same[-1].append(event)
        else:
            found.append([event])
    return [(told[0], len(told)) for told in found]


def _told(log: DriveLog) -> list[str]:
    """Returns in sentences how a drive ended, and what became of its scenarios."""
    result = log.result
    fault = f": {last_line(result.policy_fault)}" if result.policy_fault else "."
    told = [f"{ending(result).capitalize()}{fault}"]
    if result.cause in STOOD:
        told += [words] if (words := standing(log)) else []
    for scenario in result.scenarios:
        why = f" ({name_of(scenario.cause)})" if scenario.cause else ""
        told.append(f"{scenario.type}: {scenario.result}{why}.")
    return told


def _is_clean(drive: ShownDrive) -> bool:
    return drive.row["cause"] == "route_finished" and not drive.row["events"]
