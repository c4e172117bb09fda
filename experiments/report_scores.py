"""The part of a report that shows what the scorers say, each number with name and version."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamdrive.experiments.report_html import Cell, Media, number, table, text
from dreamdrive.experiments.report_words import name_of
from dreamdrive.experiments.score_tables import VALUE, digits_of
from dreamdrive.experiments.scores import Interval


def read_scores(folder: Path) -> Mapping[str, Any] | None:
    """Returns what `scores.json` of an evaluation holds; None where there is none to be read."""
    try:
        content = json.loads((folder / "scores.json").read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("scorers") else None


def scorers_table(scores: Mapping[str, Any]) -> str:
    """Returns every scorer's own number for every policy, and below it the terms."""
    scorers: Mapping[str, Any] = scores["scorers"]
    policies = list(dict.fromkeys(name for told in scorers.values() for name in told["policies"]))
    head: list[Cell | str] = [
        "Policy",
        *(
            Cell(f"{text(told['label'])} <span>({text(name)})</span>")
            for name, told in scorers.items()
        ),
    ]
    rows: list[tuple[str, Sequence[Cell | str]]] = [
        ("", [policy, *(_value(told["policies"].get(policy)) for told in scorers.values())])
        for policy in policies
    ]
    notes = _notes(scorers)
    terms = "".join(_terms(name, told) for name, told in scorers.items())
    return (
        f"{table(head, rows)}{notes}<details><summary>What each score is made of</summary>"
        f"{terms}</details>"
    )


def _value(told: Mapping[str, Any] | None) -> Cell:
    if told is None:
        return Cell("")
    cell = number(Interval(**told["terms"][VALUE]), 1)
    missing = told["num_without_score"]
    return Cell(cell.content + (f"<small>{missing} drives without</small>" if missing else ""))


def _notes(scorers: Mapping[str, Any]) -> str:
    """Returns what a reader must know of the numbers."""
    notes, unwatched = [], dict[tuple[str, ...], list[str]]()
    for name, told in scorers.items():
        policies = told["policies"].values()
        parts = tuple(sorted({part for policy in policies for part in policy["not_measured"]}))
        unwatched.setdefault(parts, []).append(name)
        if told.get("num_routes"):
            notes.append(
                f"{name} divides sums by {told['num_routes']} routes, however many were driven."
            )
        notes += [f"{name}: {policy['reason']}" for policy in policies if policy["reason"]][:1]
    for parts, names in unwatched.items():
        if parts:
            words = ", ".join(map(name_of, parts))
            notes.append(f"Not measured, so that it costs nothing in {', '.join(names)}: {words}.")
    return "".join(f'<p class="note">{text(note)}</p>' for note in notes)


def _terms(scorer: str, told: Mapping[str, Any]) -> str:
    policies = told["policies"]
    digits = digits_of(policies.values())
    names = list(dict.fromkeys(name for facts in policies.values() for name in facts["terms"]))
    rows: list[tuple[str, Sequence[Cell | str]]] = []
    for policy, facts in policies.items():
        cells = []
        for name in names:
            interval = Interval(
                **facts["terms"].get(name, {"value": None, "low": None, "high": None})
            )
            cells.append(number(interval, digits[name]))
        rows.append(("", [policy, *cells, str(facts["num_drives"])]))
    labels = [told["label"] if name == VALUE else name.replace("_", " ") for name in names]
    return f"<h4>{text(scorer)}</h4>{table(['Policy', *labels, 'Drives'], rows)}"


def leaderboard_links(folder: Path, media: Media) -> str:
    """Returns links to the results in the leaderboard's own form."""
    files = sorted((folder / "leaderboard").glob("*.json"))
    if not files:
        return ""
    links = ", ".join(f'<a href="{media.link(file)}">{text(file.stem)}</a>' for file in files)
    form = "The same in the CARLA leaderboard's own form (JSON, scored by leaderboard-2.1)"
    return f"<p>{form}: {links}.</p>"
