"""Comparisons of made-up policies whose true difference is known, over hundreds of evaluations."""

from statistics import NormalDist

import numpy as np
import pytest

from dreamdrive.experiments.drives import Trial
from dreamdrive.experiments.pairing import is_real
from dreamdrive.experiments.scores import (
    Measure,
    chance_of_swaps,
    expanded_tail,
    paired_difference,
)

MEAN = Measure(
    name="mean", label="", unit="", numerator=lambda value: value, denominator=lambda value: 1.0
)
WORLDS = 250


def alike(rng, routes, seeds, gain):
    """Returns scores whose routes differ in how hard they are, and in whom they suit."""
    hard, suits = rng.normal(50.0, 20.0, routes), gain + rng.normal(0.0, 10.0, routes)
    noise = rng.normal(0.0, 5.0, (2, routes, seeds))
    keys = [(f"{route:03d}", Trial(seed)) for route in range(routes) for seed in range(seeds)]
    a = {(r, t): (hard[int(r)] + suits[int(r)] + noise[0, int(r), t.seed],) for r, t in keys}
    return a, {(r, t): (hard[int(r)] + noise[1, int(r), t.seed],) for r, t in keys}


def driven(rng, routes, seeds, gain):
    """Returns scores as drives have them: mostly 100, less a factor for each of some events."""
    a, b = {}, {}
    for route in range(routes):
        danger = 0.6 * rng.random() ** 2
        for seed in range(seeds):
            for side, chance in ((a, danger - gain), (b, danger)):
                side[f"{route:03d}", Trial(seed)] = (
                    100.0 * 0.6 ** int((rng.random(3) < chance).sum()),
                )
    return a, b


def compared(make, routes, seeds=1, gain=0.0, truth=0.0):
    """Returns how often a difference was called real, and how often its interval held the truth."""
    real = held = 0
    for world in range(WORLDS):
        a, b = make(np.random.default_rng(world), routes, seeds, gain)
        found = paired_difference(a, b, MEAN, samples=400, seed=world)
        real += is_real(found, chance_of_swaps(a, b, MEAN, samples=800, seed=world))
        held += found.low <= truth <= found.high
    return real / WORLDS, held / WORLDS


@pytest.mark.parametrize(
    ("make", "routes", "seeds", "most"),
    [(alike, 8, 2, 0.09), (alike, 20, 1, 0.08), (driven, 20, 2, 0.08), (driven, 12, 1, 0.06)],
)
def test_policies_that_drive_alike_differ_in_one_comparison_of_twenty(make, routes, seeds, most):
    real, held = compared(make, routes, seeds)
    assert real <= most
    assert 0.90 <= held <= 0.985
    if (make, routes) == (alike, 20):
        assert real >= 0.02


def test_a_difference_that_is_there_is_found_the_sooner_the_more_routes():
    found = {routes: compared(alike, routes, gain=8.0, truth=8.0) for routes in (8, 30)}
    assert 0.2 < found[8][0] < 0.6
    assert found[30][0] > 0.9
    assert all(0.90 <= held <= 0.985 for _, held in found.values())
    assert compared(alike, 30, gain=2.0, truth=2.0)[0] < 0.3


def test_seeds_of_one_route_are_no_further_routes():
    def stubborn(rng, routes, seeds, gain):
        shift = rng.normal(0.0, 10.0, routes)
        keys = [(f"{route:03d}", Trial(seed)) for route in range(routes) for seed in range(seeds)]
        return {key: (50.0 + shift[int(key[0])],) for key in keys}, dict.fromkeys(keys, (50.0,))

    assert compared(stubborn, 10, seeds=6)[0] <= 0.09


def test_the_chance_of_swaps_by_hand():
    a = {
        (name, Trial(0)): (float(x),) for name, x in zip("abcdef", (1, 2, 3, 4, 5, 6), strict=True)
    }
    b = dict.fromkeys(a, (0.0,))
    assert chance_of_swaps(a, b, MEAN) == 2.0 / 64.0
    mixed = a | {("a", Trial(0)): (-1.0,)}
    assert chance_of_swaps(mixed, b, MEAN) == 4.0 / 64.0
    assert chance_of_swaps(a, a, MEAN) == 1.0
    assert chance_of_swaps(a, {}, MEAN) is None


def test_rates_swap_both_their_parts():
    rate = Measure(name="rate", label="", unit="1/km", numerator=lambda d: d[0],
                   denominator=lambda d: d[1])  # fmt: skip
    a = {("a", Trial(0)): ((3.0, 1.0),), ("b", Trial(0)): ((0.0, 5.0),)}
    b = {("a", Trial(0)): ((0.0, 1.0),), ("b", Trial(0)): ((0.0, 1.0),)}
    assert chance_of_swaps(a, b, rate) == 1.0
    assert chance_of_swaps(a | {("b", Trial(0)): ((9.0, 1.0),)}, b, rate) == 0.5


def test_fewer_than_six_routes_show_nothing():
    keys = [(name, Trial(0)) for name in "abcdef"]
    a, b = dict.fromkeys(keys, (60.0,)), dict.fromkeys(keys, (50.0,))
    assert paired_difference(a, b, MEAN).low == pytest.approx(10.0)
    few = {key: a[key] for key in keys[:5]}
    found = paired_difference(few, b, MEAN)
    assert (found.value, found.low, found.high) == (10.0, None, None)
    assert not is_real(found, 0.0)


def test_the_tail_is_that_of_students_t():
    quantile = {6: 2.5706, 11: 2.2281, 31: 2.0423}
    for num, t in quantile.items():
        expected = NormalDist().cdf(-t * (num / (num - 1)) ** 0.5)
        assert expanded_tail(num) == pytest.approx(expected, rel=0.01)
    assert expanded_tail(10**6) == pytest.approx(0.025, rel=1e-3)
