"""What scorers say of policies: means with intervals, as JSON and as tables for the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from dreamdrive.experiments.drives import Key
from dreamdrive.experiments.policies import NamedPolicy
from dreamdrive.experiments.scored_drives import ScoredDrive, score_cells
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer
from dreamdrive.experiments.scores import Interval, Measure, estimate
from dreamdrive.experiments.summary import groups_of, show

SCHEMA = 1
VALUE = "value"
"""Name of a scorer's own number among its terms."""
MEAN = "mean"
"""Name of the mean of those that a scorer averages."""


def term_measure(scorer: Scorer, name: str) -> Measure[RouteScore]:
    """Returns the mean of a scorer's number, or of one of its terms, over drives that have it."""

    def of(score: RouteScore) -> float | None:
        return score.value if name == VALUE else score.terms.get(name)

    return Measure(
        name=name, label=scorer.label if name == VALUE else name, unit="",
        numerator=lambda score: of(score) or 0.0,
        denominator=lambda score: float(of(score) is not None),
        better=("high" if scorer.higher_is_better else "low") if name == VALUE else "",
    )  # fmt: skip


def summarise_scores(
    drives: Mapping[str, Sequence[ScoredDrive]], scorers: Sequence[Scorer], samples: int
) -> dict[str, Any]:
    """Returns what `scores.json` holds: every scorer's terms of every policy, and every drive's.

    Args:
        drives: The drives of each policy; training runs `NAME#0`, `NAME#1`, … also come as `NAME`.
        scorers: Who scores.
        samples: Bootstrap samples.
    """
    groups = groups_of([NamedPolicy(name, "") for name in drives])
    groups |= {name: [name] for name in drives}
    return {
        "schema": SCHEMA,
        "scorers": {
            scorer.name: {
                "label": scorer.label,
                "num_routes": scorer.num_routes,
                "policies": {
                    group: _policy(scorer, [drives[name] for name in members], samples)
                    for group, members in groups.items()
                },
            }
            for scorer in scorers
        },
        "drives": [_drive(drive) for runs in drives.values() for drive in runs],
    }


def _policy(scorer: Scorer, runs: Sequence[Sequence[ScoredDrive]], samples: int) -> dict[str, Any]:
    cells = score_cells(scorer, *runs)
    scores = [score for found in cells.values() for score in found]
    reasons = [d.reasons[scorer.name] for run in runs for d in run if scorer.name in d.reasons]
    names = [VALUE, *dict.fromkeys(name for score in scores for name in score.terms)]
    terms = {name: asdict(term_interval(scorer, name, cells, samples)) for name in names}
    if scorer.mean_of and scores:
        terms[MEAN] = _mean([terms[name]["value"] for name in scorer.mean_of])
    return {
        "num_drives": len(scores),
        "num_without_score": len(reasons),
        "reason": reasons[0] if reasons else "",
        "not_measured": sorted({part for score in scores for part in score.not_measured}),
        "terms": terms,
    }


def _mean(values: Sequence[float | None]) -> dict[str, float | None]:
    """Returns the mean of means, if all are there, and no interval."""
    told = [value for value in values if value is not None]
    mean = sum(told) / len(told) if len(told) == len(values) else None
    return asdict(Interval(value=mean, low=None, high=None))


def term_interval(
    scorer: Scorer, name: str, cells: Mapping[Key, tuple[RouteScore, ...]], samples: int
) -> Interval:
    """Returns a term's mean with its interval, or its sum over the scorer's number of routes."""
    if not cells:
        return Interval(value=None, low=None, high=None)
    found = estimate(cells, term_measure(scorer, name), samples=samples)
    if scorer.num_routes is None or name not in (VALUE, *scorer.over_num_routes):
        return found
    share = len(cells) / scorer.num_routes
    parts = {key: None if v is None else v * share for key, v in asdict(found).items()}
    return Interval(**parts)


def _drive(drive: ScoredDrive) -> dict[str, Any]:
    result = drive.result
    return {
        "policy": result.policy, "route": result.route, "seed": result.seed,
        "repetition": result.repetition, "cause": result.cause,
        "scores": {
            name: {"value": score.value, **score.terms} for name, score in drive.scores.items()
        },
        "reasons": dict(drive.reasons),
    }  # fmt: skip


def tables_of(summary: Mapping[str, Any]) -> list[Table]:
    """Returns a table for each scorer, its name and version above it."""
    return [_table(name, facts) for name, facts in summary["scorers"].items()]


def _table(scorer: str, facts: Mapping[str, Any]) -> Table:
    policies = facts["policies"]
    unwatched = sorted({part for policy in policies.values() for part in policy["not_measured"]})
    note = f"Not measured, and at no cost here: {', '.join(unwatched)}" if unwatched else None
    reasons = [policy["reason"] for policy in policies.values() if policy["reason"]]
    caption = "\n".join(text for text in (note, *reasons[:1]) if text)
    table = Table(title=f"{scorer}: means, 95 % intervals", caption=caption or None)
    table.add_column("policy")
    table.add_column("measure")
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("drives", justify="right")
    table.add_column("without\nscore", justify="right")
    digits = digits_of(policies.values())
    for policy, told in policies.items():
        counts = (str(told["num_drives"]), str(told["num_without_score"]))
        for name, values in told["terms"].items():
            label = facts["label"] if name == VALUE else name.replace("_", " ")
            first = name == VALUE
            table.add_row(
                policy if first else "", label, show(Interval(**values), digits[name]),
                *(counts if first else ()), end_section=name == list(told["terms"])[-1],
            )  # fmt: skip
    return table


def digits_of(policies: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Returns the decimals of each term: three where no policy's is above one, else one."""
    largest: dict[str, float] = {}
    for told in policies:
        for name, values in told["terms"].items():
            sizes = [abs(value) for value in values.values() if value is not None]
            largest[name] = max([largest.get(name, 0.0), *sizes])
    return {name: 3 if size <= 1.0 else 1 for name, size in largest.items()}
