"""The part of a report that shows an evaluation."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from dreamdrive.experiments.drives import Trial
from dreamdrive.experiments.pairing import is_real
from dreamdrive.experiments.report_drives import DrivesPart
from dreamdrive.experiments.report_html import Cell, Media, number, plot, table, text
from dreamdrive.experiments.report_outcomes import faults, results_in, scenarios
from dreamdrive.experiments.report_plots import completion_and_collisions
from dreamdrive.experiments.report_roads import Roads
from dreamdrive.experiments.report_scores import leaderboard_links, read_scores, scorers_table
from dreamdrive.experiments.report_words import name_of
from dreamdrive.experiments.scores import MEASURE, RATES, Interval
from dreamdrive.experiments.summary import NOTHING, PAIRED, show

SHOWN_ALWAYS = ("collision", "red_light", "off_road")
RULES = (
    "The driving score of a route is its completion in percent times a penalty, "
    "(1 - share outside the lanes) / (1 + sum of coefficients): walker hit 1.0, vehicle 0.7, thing "
    "0.6, red light 0.4, stop sign 0.25, scenario timed out 0.4, emergency vehicle not let by 0.4; "
    "the mean over all drives is shown. 100 is a route driven to its end without a fault. Brackets "
    "are 95 % bootstrap intervals: routes are drawn first, then seeds within them, then training "
    "runs; a rate of which no event was seen has its exact Poisson bound."
)


def evaluation_section(
    path: Path, summary: Mapping[str, Any], folder: Path, media: Media, roads: Roads, pictures: int
) -> tuple[str, list[str]]:
    """Returns an evaluation, what matters most first, and what of it could not be read.

    Args:
        path: Where `summary.json` stands.
        summary: What it holds.
        folder: The run folder that is reported.
        media: Puts films into the page.
        roads: Draws the roads of towns.
        pictures: How many infractions are drawn at most.
    """
    here = path.parent
    place = here.relative_to(folder).as_posix()
    name = "" if place == "." else f": {place}"
    heads = {
        policy: facts["measures"]
        for policy, facts in summary["policies"].items()
        if "run_of" not in facts
    }
    drives = DrivesPart(summary, here, roads, media, pictures)
    drove = [name for name, facts in summary["policies"].items() if "spec" in facts]
    results, scores = results_in(here, drove), read_scores(here)
    parts = [
        f"<h2>Closed loop{text(name)}</h2>",
        where(summary),
        in_short(summary),
        headline(summary),
        f'<p class="note">Scored by {text(summary["scorer"])}. {text(RULES)}</p>',
        "<h3>The worst drives</h3>",
        '<p class="note">Of each policy, the drives with the lowest driving scores, the worst '
        "first. A strip shows an infraction and the two seconds before it, redrawn from the event "
        "log, with the policy's car always heading up; the red mark is where it happened. "
        "Of a car that stood until it was taken off, the picture shows what it stood before. "
        "Numbers on a map are those of the list beside it.</p>",
        drives.worst(),
        "<h3>Scenarios</h3>" + scenarios(results) if results else "",
        pairs(summary) if summary["pairs"] else "",
        "<h3>Scores by name and version</h3>" + scorers_table(scores) if scores else "",
        leaderboard_links(here, media),
        plot(completion_and_collisions(heads), "Up and to the left is better; 95 % intervals"),
        "<h3>Infractions per kilometre</h3>",
        infractions(summary),
        drives.every_infraction(),
        "<h3>Faults of the simulator and of the policies' programs</h3>" + faults(results)
        if results
        else "",
        _films(here / "videos", summary, media),
        "<h3>Every route</h3>",
        routes(summary),
    ]
    return "\n".join(part for part in parts if part), drives.broken


def in_short(summary: Mapping[str, Any]) -> str:
    """Returns what the evaluation found, in sentences, the best policy first."""
    heads = {name: f for name, f in summary["policies"].items() if "run_of" not in f}
    scored = sorted(heads, key=lambda name: -(_value(heads[name], "driving_score") or 0.0))
    lines = []
    for name in scored:
        facts = heads[name]
        told = [f"<b>{text(name)}</b> scores {_words_of(facts, 'driving_score')}"]
        told.append(f"and drives {_words_of(facts, 'completion_pct')} % of the way")
        if facts["km"]:
            told.append(f"with {_words_of(facts, 'collision_per_km')} collisions a kilometre")
        if facts["num_sim_errors"]:
            told.append(f"({facts['num_sim_errors']} drives lost to the simulator)")
        if facts["num_policy_faults"]:
            told.append(f"({facts['num_policy_faults']} ended by a fault of its program)")
        lines.append(f"<li>{' '.join(told)}.</li>")
    for better, worse in pairwise(scored):
        found = _difference(summary, better, worse)
        if found is not None:
            lines.append(f"<li>{text(found)}</li>")
    return f'<ul class="short">{"".join(lines)}</ul>'


def _words_of(facts: Mapping[str, Any], name: str) -> str:
    digits = MEASURE[name].digits
    return show(Interval(**facts["measures"][name]), digits)


def _value(facts: Mapping[str, Any], name: str) -> float | None:
    value: float | None = facts["measures"][name]["value"]
    return value


def _difference(summary: Mapping[str, Any], better: str, worse: str) -> str | None:
    """Returns in a sentence whether one policy's lead over another is real."""
    for pair in summary["pairs"]:
        if {pair["a"], pair["b"]} == {better, worse}:
            sign = 1.0 if pair["a"] == better else -1.0
            found = Interval(**pair["measures"]["driving_score"])
            if found.value is None:
                return None
            lead = f"{better} scores {abs(found.value):.1f} more than {worse}"
            if found.low is None or found.high is None:
                return f"{lead}, on too few routes to tell it from chance."
            ends = sorted((sign * found.low, sign * found.high))
            told = f"{lead}, drive by drive [{ends[0]:+.1f}, {ends[1]:+.1f}]"
            chance = pair.get("chances", {}).get("driving_score", 0.0)
            if is_real(found, chance):
                return f"{told}; the difference is real."
            return f"{told}; no real difference is shown."
    return None


def where(summary: Mapping[str, Any]) -> str:
    """Returns what was driven: how many routes, how long, where, and among whom."""
    conditions, facts = summary["conditions"], summary["facts"]
    lengths = [round(row["length_m"]) for row in summary["routes"] if row["length_m"] > 0.0]
    ends = sorted({min(lengths), max(lengths)}) if lengths else []
    long = f" of {' to '.join(map(str, ends))} m" if ends else ""
    seeds = _many(len(summary["seeds"]), "traffic seed")
    vehicles, walkers = (conditions[f"num_{kind}"] for kind in ("vehicles", "walkers"))
    drives = max(policy["num_drives"] for policy in summary["policies"].values())
    return (
        "<p>Each policy drove a simulated car along the same routes, in the same traffic: "
        f"{_many(summary['num_routes'], 'frozen route')}{long} in "
        f"{text(', '.join(summary['towns']))}, {seeds} each, with {_many(vehicles, 'vehicle')} and "
        f"{_many(walkers, 'walker')} about, {_played(conditions)}; up to "
        f"{_many(drives, 'drive')} a policy.</p>"
        f'<p class="meta">{text(facts["machine"])} · {text(facts["date"])} · '
        f"commit {text(facts['git'] or 'unknown')}</p>"
    )


def _many(count: int, name: str) -> str:
    return f"{count} {name}{'s' * (count != 1)}"


def _played(conditions: Mapping[str, Any]) -> str:
    """Returns which scenarios the routes hold, whose actors come on top of the traffic."""
    asked, of_file = conditions["scenarios"], bool(conditions["route_file"])
    if asked == ["none"] or not (asked or of_file):
        return "without scenarios"
    where = (
        "the scenarios of the routes' file"
        if of_file
        else f"up to {_many(conditions['scenarios_per_route'], 'scenario')} a route"
    )
    types = "" if asked in ([], ["all"]) else f" of the types {text(', '.join(asked))}"
    return f"and with {where}{types}"


def headline(summary: Mapping[str, Any]) -> str:
    """Returns the table that is read first."""
    names = (
        "driving_score", "completion_pct", "collision_per_km", "clean_pct", "mean_speed_mps",
        "ms_per_decision",
    )  # fmt: skip
    head = ["Policy", *(_heading(name) for name in names), "Drives", "Ended as"]
    return table(head, _rows(summary, names, with_drives=True))


def infractions(summary: Mapping[str, Any]) -> str:
    """Returns the table of infractions by type; types that nobody committed are left out."""
    names = [
        f"{cause}_per_km"
        for cause in RATES
        if cause in SHOWN_ALWAYS
        or any(
            facts["measures"][f"{cause}_per_km"]["value"] for facts in summary["policies"].values()
        )
    ]
    names = [*names, "outside_pct"]
    head = ["Policy", *(MEASURE[name].label for name in names[:-1]), "Outside, %", "km driven"]
    rows = _rows(summary, names)
    kms = [f"{facts['km']:.2f}" for facts in _ordered(summary).values()]
    return table(head, [(kind, [*row, km]) for (kind, row), km in zip(rows, kms, strict=True)])


def _heading(name: str) -> str:
    measure = MEASURE[name]
    return f"{measure.label}, {measure.unit}" if measure.unit else measure.label


def _ordered(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns policies in order, each followed by its single training runs."""
    policies: Mapping[str, Mapping[str, Any]] = summary["policies"]
    ordered = {}
    for name, facts in policies.items():
        if "run_of" not in facts:
            ordered[name] = facts
            ordered |= {run: f for run, f in policies.items() if f.get("run_of") == name}
    return ordered


def _rows(
    summary: Mapping[str, Any], names: tuple[str, ...] | list[str], *, with_drives: bool = False
) -> list[tuple[str, list[Cell | str]]]:
    rows = []
    for policy, facts in _ordered(summary).items():
        label = text(policy)
        if facts["num_runs"] > 1:
            label += f"<small>{facts['num_runs']} training runs</small>"
        cells: list[Cell | str] = [Cell(label)]
        for name in names:
            interval = Interval(**facts["measures"][name])
            is_scale = name in ("driving_score", "completion_pct")
            cells.append(number(interval, MEASURE[name].digits, drawn=is_scale))
        if with_drives:
            drives = str(facts["num_drives"])
            if facts["num_sim_errors"]:
                drives += f"<small>{facts['num_sim_errors']} lost to the server</small>"
            ends = facts["causes"].items()
            shown = "<br>".join(f"{text(name_of(cause))} {count}" for cause, count in ends)
            cells += [Cell(drives), Cell(f"<small>{shown}</small>")]
        rows.append(("part" if "run_of" in facts else "", cells))
    return rows


def pairs(summary: Mapping[str, Any]) -> str:
    """Returns paired differences; those that are real are coloured."""
    note = (
        "Coloured where the difference is real, green where it speaks for the policy on the left: "
        "its interval misses zero, and of all ways in which the two could have changed places on "
        "each route less than 5 % give one as large."
    )
    head = ["Policy", "minus", *(_heading(name) for name in PAIRED), "Pairs"]
    rows: list[tuple[str, list[Cell | str]]] = []
    for pair in summary["pairs"]:
        cells: list[Cell | str] = [Cell(text(pair["a"])), Cell(text(pair["b"]))]
        for name in PAIRED:
            measure = MEASURE[name]
            interval = Interval(**pair["measures"][name])
            cell = number(interval, measure.digits, signed=True)
            kind = ""
            chance = pair.get("chances", {}).get(name, 0.0)
            if is_real(interval, chance) and interval.value is not None:
                kind = "good" if (interval.value > 0.0) == (measure.better == "high") else "bad"
            cells.append(Cell(cell.content, kind))
        rows.append(("", [*cells, str(pair["num_pairs"])]))
    title = "<h3>Paired differences on the same routes and seeds</h3>"
    return f'{title}<p class="note">{note}</p>{table(head, rows, left=2)}'


def routes(summary: Mapping[str, Any]) -> str:
    """Returns a row for each route and seed: score and completion of every policy."""
    names = [name for name in _ordered(summary) if "spec" in summary["policies"][name]]
    head = ["Route", "Seed", "m", *names]
    rows: list[tuple[str, list[Cell | str]]] = []
    for row in summary["routes"]:
        cells: list[Cell | str] = [row["route"], _trial(row), f"{row['length_m']:.0f}"]
        for name in names:
            drive = row["policies"].get(name)
            cells.append(Cell(NOTHING) if drive is None else _drive(drive))
        rows.append(("", cells))
    note = "Driving score; below it the completion, and what was done wrong."
    return f'<p class="note">{note}</p>{table(head, rows)}'


def _trial(row: Mapping[str, Any]) -> str:
    return str(Trial(row["seed"], row.get("repetition", 0)))


def _drive(drive: Mapping[str, Any]) -> Cell:
    causes = [cause for _, cause in drive["events"]]
    if drive["cause"] not in ("route_finished", *causes):
        causes.append(drive["cause"])
    counted = {cause: causes.count(cause) for cause in dict.fromkeys(causes)}
    lines = [f"{drive['completion_pct']:.0f} %"]
    lines += [
        name_of(cause) + (f" ×{count}" if count > 1 else "")  # noqa: RUF001
        for cause, count in counted.items()
    ]
    content = f"{drive['driving_score']:.0f}<small>{'<br>'.join(map(text, lines))}</small>"
    return Cell(content)


def _films(folder: Path, summary: Mapping[str, Any], media: Media) -> str:
    """Returns the films, the same route of every policy side by side."""
    films = [
        (film, policy)
        for policy in summary["policies"]
        for film in sorted((folder / policy).glob("*.mp4"))
        if not film.name.startswith(".")
    ]
    if not films:
        return ""
    films.sort(key=lambda item: item[0].name)
    figures = [media.figure(film, f"{policy}, {film.stem}") for film, policy in films]
    return f'<h3>Films, at twice the speed of life</h3><div class="grid">{"".join(figures)}</div>'


def progress_section(evaluations: Mapping[Path, Mapping[str, Any]], folder: Path) -> str:
    """Returns the driving scores of several evaluations beside each other."""
    names = list(
        dict.fromkeys(
            name
            for summary in evaluations.values()
            for name, facts in summary["policies"].items()
            if "run_of" not in facts
        )
    )
    rows: list[tuple[str, list[Cell | str]]] = []
    for path, summary in evaluations.items():
        cells: list[Cell | str] = [path.parent.relative_to(folder).as_posix()]
        for name in names:
            facts = summary["policies"].get(name)
            cells.append(
                Cell(NOTHING)
                if facts is None
                else number(Interval(**facts["measures"]["driving_score"]), 1)
            )
        rows.append(("", cells))
    return f"<h2>Driving score in each evaluation</h2>{table(['Evaluation', *names], rows)}"
