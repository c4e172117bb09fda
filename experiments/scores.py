"""Scores of drives: the leaderboard's driving score, rates per kilometre, and their intervals.

Everything here is a pure function of results on disk.

Shapes: R routes, S seeds of a route, K training runs of a policy, B bootstrap samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dreamdrive.experiments.drives import DriveResult, Key, Trial
from dreamdrive.experiments.scorers.leaderboard_2_1 import COEFFICIENTS, sum_penalty

SCORER = "leaderboard-2.1"
"""Name and version of the driving score, which stands beside every number made with it."""

UNSEEN_EVENTS = float(-np.log(0.025))
"""With this mean or more, no event at all is seen in at most 2.5 % of all cases."""


@dataclass(frozen=True, slots=True)
class Score:
    """The driving score of one route, 0 to 100, and the penalty in it, 1 for a clean drive."""

    driving_score: float
    penalty: float


def score(drive: DriveResult) -> Score:
    """Returns the leaderboard 2.1 score of a drive."""
    counts = {cause: drive.count(cause) for cause in COEFFICIENTS}
    penalty = sum_penalty(counts, outside_pct=drive.outside_pct)
    return Score(max(0.0, drive.completion_pct * penalty), penalty)


MIN_ROUTES = 6
"""Fewer routes cannot show that two policies differ."""

REAL = 0.05
"""A difference that random swaps make less often than this is real."""

D = TypeVar("D")
"""What is known of one drive: its result, or what a scorer says of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure(Generic[D]):
    """A ratio of sums over drives: a mean where the denominator is 1, a rate where it is km.

    Attributes:
        name: Key in `summary.json`.
        label: Heading of a table's column.
        unit: Unit, may be empty.
        numerator: Of one drive.
        denominator: Of one drive.
        digits: Decimals to show.
        better: `high`, `low`, or empty where neither is better.
    """

    name: str
    label: str
    unit: str
    numerator: Callable[[D], float]
    denominator: Callable[[D], float]
    digits: int = 2
    better: str = "low"


def driven_km(drive: DriveResult) -> float:
    """Returns the kilometres of the route that were driven, as the leaderboard divides by."""
    return drive.length_m * drive.completion_pct / 1e5


def _one(drive: DriveResult) -> float:
    return 1.0


def _rate(cause: str, label: str) -> Measure[DriveResult]:
    return Measure(
        name=f"{cause}_per_km", label=label, unit="1/km",
        numerator=lambda drive: float(drive.count(cause)), denominator=driven_km,
    )  # fmt: skip


RATES: dict[str, str] = {
    "collision": "Collisions",
    "collision_vehicle": "with vehicles",
    "collision_walker": "with walkers",
    "collision_static": "with things",
    "red_light": "Red lights",
    "stop_sign": "Stop signs",
    "off_road": "Left the lanes",
    "route_deviation": "Left the route",
    "blocked": "Blocked",
    "time_limit": "Out of time",
}
"""What is counted per kilometre; `collision` is the sum of the three below it."""

MEASURES: tuple[Measure[DriveResult], ...] = (
    Measure(
        name="driving_score", label="Driving score", unit="",
        numerator=lambda drive: score(drive).driving_score, denominator=_one,
        digits=1, better="high",
    ),
    Measure(
        name="completion_pct", label="Route completion", unit="%",
        numerator=lambda drive: drive.completion_pct, denominator=_one, digits=1, better="high",
    ),
    Measure(
        name="penalty", label="Penalty factor", unit="",
        numerator=lambda drive: score(drive).penalty, denominator=_one, better="high",
    ),
    Measure(
        name="clean_pct", label="Finished without infraction", unit="%",
        numerator=lambda d: 100.0 * (d.is_finished and not d.events), denominator=_one,
        digits=0, better="high",
    ),
    *(_rate(cause, label) for cause, label in RATES.items()),
    Measure(
        name="outside_pct", label="Outside the lanes", unit="% of the way",
        numerator=lambda d: driven_km(d) * d.outside_pct, denominator=driven_km, digits=1,
    ),
    Measure(
        name="mean_speed_mps", label="Mean speed", unit="m/s",
        numerator=lambda d: d.mean_speed_mps * d.time_s, denominator=lambda d: d.time_s,
        digits=1, better="",
    ),
    Measure(
        name="ms_per_decision", label="Time per decision", unit="ms",
        numerator=lambda d: d.ms_per_decision * d.decisions,
        denominator=lambda d: float(d.decisions) if d.ms_per_decision > 0.0 else 0.0,
    ),
)  # fmt: skip
MEASURE: dict[str, Measure[DriveResult]] = {measure.name: measure for measure in MEASURES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """An estimate with its 95 % interval; None where nothing was driven that it could be of."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low is not None and self.high is not None and self.low * self.high > 0.0


Cells = dict[Key, tuple[DriveResult, ...]]
"""Drives of one policy by route and trial: one drive for each training run of the policy."""


def cells(*runs: Sequence[DriveResult]) -> Cells:
    """Returns the drives that count, where every run has one; those a server ended do not count.

    Args:
        *runs: Drives of each training run of one policy; most policies have one run.
    """
    valid = [{d.key: d for d in drives if d.is_valid} for drives in runs]
    common = sorted(set.intersection(*(set(run) for run in valid)))
    return {key: tuple(run[key] for run in valid) for key in common}


def flat(drives: Cells) -> list[DriveResult]:
    """Returns the drives in order of route, seed, repetition and run."""
    return [drive for runs in drives.values() for drive in runs]


def bootstrap(
    of: Mapping[Key, Sequence[tuple[float, float]]],
    *,
    samples: int = 2000,
    seed: int = 0,
    draw_seeds: bool = True,
) -> NDArray[np.float64]:
    """Returns resampled ratios of sums: routes with replacement, in each its seeds, and runs.

    Seeds of one route are not independent of each other, so that routes are drawn first; even less
    so are repetitions of one seed, which are drawn together. Training runs are drawn for the whole
    sample at once, since what one run does badly it does on every route. The same keys and `seed`
    draw the same routes and seeds, so that two results may be subtracted as pairs.

    Args:
        of: Numerator and denominator of each training run by route and trial.
        samples: Number of bootstrap samples B.
        seed: Fixes the draws.
        draw_seeds: Whether seeds are drawn too; else a route brings all of its own. Since what
            seeds do to a route's mean shows between routes already, drawing them makes intervals
            wider than they need be.

    Returns:
        Shape (B,); NaN where the drawn denominators sum to 0.
    """
    routes = sorted({route for route, _ in of})
    table = [_by_seed({t: pairs for (r, t), pairs in of.items() if r == route}) for route in routes]
    count_R = np.array([len(row) for row in table])
    R, S, K = len(routes), int(count_R.max()), len(table[0][0])
    value_RSK2 = np.zeros((R, S, K, 2))
    for row, values in enumerate(table):
        value_RSK2[row, : len(values)] = values
    rng = np.random.default_rng(seed)
    route_BR = rng.integers(R, size=(samples, R))
    count_BR1 = count_R[route_BR][..., None]
    seed_BRS = (rng.random((samples, R, S)) * count_BR1).astype(np.int64)
    if not draw_seeds:
        seed_BRS = np.broadcast_to(np.arange(S), (samples, R, S))
    drawn_BRSK2 = value_RSK2[route_BR[..., None], seed_BRS]
    is_drawn_BRS = np.arange(S) < count_BR1
    times_BK = rng.multinomial(K, np.full(K, 1.0 / K), size=samples)
    sums_B2 = np.einsum("brskn,brs,bk->bn", drawn_BRSK2, is_drawn_BRS, times_BK)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(sums_B2[:, 1] > 0.0, sums_B2[:, 0] / sums_B2[:, 1], np.nan))


def _by_seed(
    of: Mapping[Trial, Sequence[tuple[float, float]]],
) -> list[list[tuple[float, float]]]:
    """Returns the sums over the repetitions of each seed, in order of the seeds, by run."""
    seeds: dict[int, list[Sequence[tuple[float, float]]]] = {}
    for trial in sorted(of):
        seeds.setdefault(trial.seed, []).append(of[trial])
    return [
        [
            (sum(top for top, _ in run), sum(below for _, below in run))
            for run in zip(*found, strict=True)
        ]
        for found in seeds.values()
    ]


def estimate(
    drives: Mapping[Key, Sequence[D]], measure: Measure[D], *, samples: int = 2000, seed: int = 0
) -> Interval:
    """Returns a measure over drives with its 95 % bootstrap interval.

    Fewer than two routes say nothing about others: there is no interval then. A rate of which not
    one event was seen has the exact Poisson bound, since a bootstrap cannot draw what it never saw.
    """
    of = _ratios(drives, measure)
    value = _ratio(of)
    if value is None:
        return Interval(value=None, low=None, high=None)
    interval = _interval(value, of, bootstrap(of, samples=samples, seed=seed))
    if measure.unit == "1/km" and value == 0.0 and interval.high is not None:
        return Interval(value=0.0, low=0.0, high=UNSEEN_EVENTS / _total(of, 1))
    return interval


def paired_difference(
    a: Mapping[Key, Sequence[D]],
    b: Mapping[Key, Sequence[D]],
    measure: Measure[D],
    *,
    samples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns a measure of `a` less that of `b` on the routes and seeds that both drove.

    Routes are drawn with all their seeds, and the percentiles are those of Student's t. Where both
    drive alike, the interval misses zero about once in twenty times from ten routes on. Fewer than
    `MIN_ROUTES` have no interval: that all of five differ in one direction happens by chance in
    one case of sixteen.

    Reference:
        Hesterberg 2015, "What Teachers Should Know About the Bootstrap", The American Statistician
        69 (4), section 5.3: the expanded percentile interval.
    """
    common = sorted(set(a) & set(b))
    of_a = _ratios({key: a[key] for key in common}, measure)
    of_b = _ratios({key: b[key] for key in common}, measure)
    value_a, value_b = _ratio(of_a), _ratio(of_b)
    if value_a is None or value_b is None:
        return Interval(value=None, low=None, high=None)
    num_routes = len({route for route, _ in common})
    value = value_a - value_b
    if num_routes < MIN_ROUTES:
        return Interval(value=value, low=None, high=None)
    drawn = bootstrap(of_a, samples=samples, seed=seed, draw_seeds=False) - bootstrap(
        of_b, samples=samples, seed=seed, draw_seeds=False
    )
    return _interval(value, of_a, drawn, tail=expanded_tail(num_routes))


def chance_of_swaps(
    a: Mapping[Key, Sequence[D]],
    b: Mapping[Key, Sequence[D]],
    measure: Measure[D],
    *,
    samples: int = 4000,
    seed: int = 0,
) -> float | None:
    """Returns in what share of cases as large a difference comes of swapping the two at random.

    On each route the two change places or not, with all seeds. Where both drive alike, every such
    case is as likely as the one that was seen, so that a share below 5 % comes up in at most 5 %
    of comparisons, whatever the scores look like. It says nothing of other training runs than
    those that drove. None where one of the two has no value.

    Reference:
        Fisher 1935, "The Design of Experiments", section 21.
    """
    common = sorted(set(a) & set(b))
    of = [_ratios({key: side[key] for key in common}, measure) for side in (a, b)]
    routes = sorted({route for route, _ in common})
    if not routes or _ratio(of[0]) is None or _ratio(of[1]) is None:
        return None
    sums_RP2 = np.zeros((len(routes), 2, 2))
    for place, side in enumerate(of):
        for (route, _), runs in side.items():
            sums_RP2[routes.index(route), place] += np.mean(runs, axis=0)
    num = len(routes)
    if 2**num <= samples:
        swapped_BR = (np.arange(2**num)[:, None] >> np.arange(num)) & 1
    else:
        swapped_BR = np.random.default_rng(seed).integers(2, size=(samples, num))
        swapped_BR[0] = 0
    kept, moved = sums_RP2, sums_RP2[:, ::-1]
    sums_BP2 = np.einsum("br,rpn->bpn", 1 - swapped_BR, kept)
    sums_BP2 += np.einsum("br,rpn->bpn", swapped_BR, moved)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio_BP = sums_BP2[..., 0] / sums_BP2[..., 1]
    size_B = np.nan_to_num(np.abs(ratio_BP[:, 0] - ratio_BP[:, 1]), nan=np.inf)
    return float(np.mean(size_B >= size_B[0] * (1.0 - 1e-9) - 1e-12))


def expanded_tail(num: int, tail: float = 0.025) -> float:
    """Returns the share of bootstrap samples to leave out at each end for a mean of `num` values.

    The bootstrap's spread is that of a sample divided by its number and not by one less, and its
    percentiles are those of a known spread. The quantile of Student's t is expanded in powers of
    one over the degrees of freedom (Abramowitz and Stegun 26.7.5), good to 0.001 from 5 on.
    """
    normal, freedom = NormalDist(), num - 1
    z = -normal.inv_cdf(tail)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return normal.cdf(-t * (num / freedom) ** 0.5)


def _ratios(
    drives: Mapping[Key, Sequence[D]], measure: Measure[D]
) -> dict[Key, list[tuple[float, float]]]:
    return {
        key: [(measure.numerator(drive), measure.denominator(drive)) for drive in runs]
        for key, runs in drives.items()
    }


def _ratio(of: Mapping[Key, Sequence[tuple[float, float]]]) -> float | None:
    total = _total(of, 1)
    return _total(of, 0) / total if total > 0.0 else None


def _total(of: Mapping[Key, Sequence[tuple[float, float]]], part: int) -> float:
    return sum(pair[part] for runs in of.values() for pair in runs)


def _interval(
    value: float, of: Mapping[Key, object], drawn_B: NDArray[np.float64], tail: float = 0.025
) -> Interval:
    drawn_B = drawn_B[np.isfinite(drawn_B)]
    if len({route for route, _ in of}) < 2 or not len(drawn_B):
        return Interval(value=value, low=None, high=None)
    low, high = np.percentile(drawn_B, [100.0 * tail, 100.0 * (1.0 - tail)])
    return Interval(value=value, low=float(low), high=float(high))
