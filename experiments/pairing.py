"""Two policies on the same routes and seeds: differences, routes won, and the worst drives.

A pair is what both did on one route with one seed; of several training runs the mean counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from dreamdrive.errors import ConfigError, NotMeasuredError
from dreamdrive.experiments.drives import Key
from dreamdrive.experiments.policies import NamedPolicy
from dreamdrive.experiments.score_tables import VALUE, term_measure
from dreamdrive.experiments.scored_drives import ScoredDrive, drives_in, score_cells, score_drive
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer
from dreamdrive.experiments.scores import (
    MEASURES,
    MIN_ROUTES,
    REAL,
    Interval,
    cells,
    chance_of_swaps,
    paired_difference,
)

DIGITS = 9
"""Differences below these decimals are rounding, not driving."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of the two that are compared: its name, and the drives of its training runs."""

    name: str
    runs: tuple[tuple[ScoredDrive, ...], ...]


def read_side(text: str, scorers: Sequence[Scorer]) -> Side:
    """Returns one side of a comparison.

    Args:
        text: `FOLDER`, or `FOLDER:POLICY` where the folder holds several; `FOLDER:NAME` also means
            the training runs `NAME#0`, `NAME#1`, … together.
        scorers: Who scores.

    Raises:
        ConfigError: If there is no such folder or policy, or several and none was named.
        EventLogError: If a result or a log cannot be read.
    """
    folder, _, wanted = (text, "", "") if Path(text).is_dir() else text.rpartition(":")
    found = drives_in(Path(folder or text))
    group_of = {name: NamedPolicy(name, "").group for name in found}
    members = [name for name in found if wanted in (name, group_of[name])]
    if not wanted and len(set(group_of.values())) == 1:
        members = list(found)
    if not members:
        known = ", ".join(dict.fromkeys([*group_of.values(), *found]))
        raise ConfigError(
            f"There is no policy {wanted!r}" if wanted else "Several policies drove here",
            where=folder or text, do=f"Name one as FOLDER:POLICY; known: {known}.",
        )  # fmt: skip
    runs = tuple(tuple(score_drive(path, scorers) for path in found[name]) for name in members)
    return Side(name=wanted or group_of[members[0]], runs=runs)


def pair(
    a: Side, b: Side, scorers: Sequence[Scorer], *, samples: int = 2000, worst: int = 10
) -> dict[str, Any]:
    """Returns how `a` differs from `b`, judged by the first scorer, and by every other measure.

    Differences are `a` less `b`, with 95 % bootstrap intervals over routes, seeds and runs.

    Raises:
        ConfigError: If both have no route and seed in common, or drove them under other conditions.
        NotMeasuredError: If the first scorer can score no drive that both made.
    """
    of_a, of_b = (cells(*([d.result for d in run] for run in side.runs)) for side in (a, b))
    common = sorted(set(of_a) & set(of_b))
    if not common:
        raise ConfigError(
            "The two have no route and seed in common", where=f"{a.name}, {b.name}",
            do="Compare evaluations with the same --towns, --seeds and --conditions.route-seed.",
        )  # fmt: skip
    if len({d.conditions for side in (of_a, of_b) for key in common for d in side[key]}) > 1:
        raise ConfigError(
            "The two drove under different conditions", where=f"{a.name}, {b.name}",
            do="Evaluate both with the same traffic, routes and limits.",
        )  # fmt: skip
    scores = {s.name: (score_cells(s, *a.runs), score_cells(s, *b.runs)) for s in scorers}
    differences: dict[str, Interval] = {}
    chances: dict[str, float | None] = {}
    for scorer in scorers:
        told, name = term_measure(scorer, VALUE), scorer.name
        differences[name] = paired_difference(*scores[name], told, samples=samples)
        chances[name] = chance_of_swaps(*scores[name], told)
    for measure in MEASURES:
        if measure.name != "driving_score":
            differences[measure.name] = paired_difference(of_a, of_b, measure, samples=samples)
            chances[measure.name] = chance_of_swaps(of_a, of_b, measure)
    head = scorers[0]
    chance = chances[head.name]
    values = _paired_values(*scores[head.name])
    if not values:
        reasons = [d.reasons[head.name] for run in (*a.runs, *b.runs) for d in run if d.reasons]
        raise NotMeasuredError(
            f"{head.name} can score no drive that both made", where=f"{a.name}, {b.name}",
            do=reasons[0] if reasons else "",
        )  # fmt: skip
    sign = 1.0 if head.higher_is_better else -1.0
    difference = {key: round(sign * (x - y), DIGITS) for key, (x, y) in values.items()}
    by_route: dict[str, list[float]] = {}
    for (route, _), gain in difference.items():
        by_route.setdefault(route, []).append(gain)
    gains = [round(mean(found), DIGITS) for found in by_route.values()]
    won, lost = sum(gain > 0.0 for gain in gains), sum(gain < 0.0 for gain in gains)
    return {
        "a": a.name, "b": b.name, "scorer": head.name, "num_pairs": len(values),
        "num_routes": len(gains),
        "sentence": sentence(a.name, b.name, head, differences[head.name], len(gains), chance),
        "is_real": is_real(differences[head.name], chance),
        "chances": chances,
        "differences": {name: asdict(found) for name, found in differences.items()},
        "won_pct": 100.0 * won / len(gains), "lost_pct": 100.0 * lost / len(gains),
        "even_pct": 100.0 * (len(gains) - won - lost) / len(gains),
        "worst": [
            {
                "route": key[0], "seed": key[1].seed, "repetition": key[1].repetition,
                "a": values[key][0], "b": values[key][1],
                "a_ended": _ends(of_a[key]), "b_ended": _ends(of_b[key]),
            }
            for key in sorted(difference, key=lambda key: difference[key])[:worst]
        ],
    }  # fmt: skip


def is_real(difference: Interval, chance: float | None) -> bool:
    """Returns whether a difference is real: its interval misses zero, and swaps rarely make it."""
    return difference.excludes_zero and chance is not None and chance < REAL


def sentence(
    a: str, b: str, scorer: Scorer, difference: Interval, num_routes: int, chance: float | None
) -> str:
    """Returns in one sentence whether a difference is real.

    Args:
        a: One policy.
        b: The other.
        scorer: Who judges.
        difference: Of `a` less `b`.
        num_routes: Routes that both drove.
        chance: In what share of cases swapping the two makes as large a difference.
    """
    value, low, high = difference.value, difference.low, difference.high
    assert value is not None
    routes = f"{num_routes} route{'s' * (num_routes != 1)}"
    told = f"{scorer.name}: {a} minus {b} is {value:+.2f}"
    if low is None or high is None:
        return f"{told} on {routes}, too few to say whether it is real: {MIN_ROUTES} are needed."
    told += f" [{low:+.2f}, {high:+.2f}] on {routes}"
    if not difference.excludes_zero:
        return f"{told}: no real difference is shown, since the 95 % interval holds zero."
    if not is_real(difference, chance):
        return (
            f"{told}: no real difference is shown, since swapping the two at random on each route "
            f"makes one as large in {100.0 * (chance or 0.0):.0f} % of cases."
        )
    better = a if (value > 0.0) == scorer.higher_is_better else b
    return f"{told}: the difference is real, {better} is better."


def _paired_values(
    a: Mapping[Key, tuple[RouteScore, ...]], b: Mapping[Key, tuple[RouteScore, ...]]
) -> dict[Key, tuple[float, float]]:
    return {
        key: (mean(score.value for score in a[key]), mean(score.value for score in b[key]))
        for key in sorted(set(a) & set(b))
    }


def _ends(drives: Sequence[Any]) -> str:
    """Returns what happened in the drives: their infractions, and how they ended."""
    told = []
    for drive in drives:
        causes = [event.cause for event in drive.events if event.cause != drive.cause]
        told.append(", ".join([*dict.fromkeys(causes), drive.cause]))
    return "; ".join(dict.fromkeys(told))
