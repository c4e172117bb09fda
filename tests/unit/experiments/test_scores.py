import numpy as np
import pytest

from dreamdrive.experiments.drives import Trial
from dreamdrive.experiments.scores import (
    MEASURE,
    UNSEEN_EVENTS,
    bootstrap,
    cells,
    estimate,
    paired_difference,
    score,
)
from support.drives import drive


def test_a_drive_is_scored_by_its_events_and_its_way():
    result = drive(completion=50.0, causes=["collision_static", "off_road"], outside_route_m=100.0)
    assert result.outside_pct == pytest.approx(20.0)
    assert score(result).penalty == pytest.approx(0.8 / 1.6)
    assert score(result).driving_score == pytest.approx(25.0)


def test_progress_up_to_the_finish_is_the_whole_route():
    nearly = drive(completion=99.4, cause="route_finished")
    assert nearly.completion_pct == 100.0
    assert drive(completion=99.4).completion_pct == pytest.approx(99.4)


def test_how_a_drive_ended_counts_once():
    left = drive(completion=40.0, causes=["route_deviation"], cause="route_deviation")
    assert left.count("route_deviation") == 1
    stuck = drive(completion=40.0, causes=["collision_walker", "collision_static"])
    assert (stuck.count("blocked"), stuck.count("collision")) == (1, 2)


def test_rates_divide_events_by_all_kilometres_and_not_by_routes():
    drives = cells(
        [
            drive(route="a", length_m=3000.0, causes=["collision_vehicle"]),
            drive(route="b", length_m=1000.0, causes=["collision_vehicle"] * 3),
        ]
    )
    assert estimate(drives, MEASURE["collision_per_km"]).value == pytest.approx(1.0)
    assert estimate(drives, MEASURE["collision_walker_per_km"]).value == 0.0


def test_without_a_kilometre_there_is_no_rate():
    standing = cells([drive(completion=0.0), drive(route="b", completion=0.0)])
    nothing = estimate(standing, MEASURE["collision_per_km"])
    assert (nothing.value, nothing.low, nothing.high) == (None, None, None)
    assert estimate(standing, MEASURE["driving_score"]).value == 0.0


def test_never_having_crashed_is_no_proof_of_never_crashing():
    clean = cells([drive(route=name) for name in "abcd"])
    rate = estimate(clean, MEASURE["collision_per_km"])
    assert (rate.value, rate.low) == (0.0, 0.0)
    assert rate.high == pytest.approx(UNSEEN_EVENTS / 4.0)
    assert np.exp(-UNSEEN_EVENTS) == pytest.approx(0.025)


def test_one_route_gives_no_interval():
    one = cells([drive(seed=seed, completion=40.0 + seed) for seed in range(5)])
    assert estimate(one, MEASURE["completion_pct"]).value == pytest.approx(42.0)
    assert estimate(one, MEASURE["completion_pct"]).low is None


def test_what_the_server_ended_is_left_out():
    drives = [drive(route="a", completion=60.0), drive(route="b", cause="sim_error", completion=0)]
    assert estimate(cells(drives), MEASURE["completion_pct"]).value == pytest.approx(60.0)


def covered(make, truth, worlds=200):
    hits = 0
    for world in range(worlds):
        drawn = bootstrap(make(np.random.default_rng(world)), samples=300, seed=world)
        low, high = np.percentile(drawn, [2.5, 97.5])
        hits += bool(low <= truth <= high)
    return hits / worlds


def test_intervals_cover_the_truth_when_seeds_of_a_route_resemble_each_other():
    def make(rng, routes=25, seeds=4):
        hard = rng.normal(50.0, 15.0, routes)
        return {
            (f"{r:02d}", Trial(s)): [(hard[r] + rng.normal(0.0, 3.0), 1.0)]
            for r in range(routes)
            for s in range(seeds)
        }

    def as_if_independent(rng):
        return {(f"{r}/{s}", Trial(0)): pair for (r, s), pair in make(rng).items()}

    assert covered(make, 50.0) >= 0.88
    assert covered(as_if_independent, 50.0) < 0.80


def test_intervals_cover_the_truth_when_training_runs_differ():
    def make(rng, routes=10, runs=8):
        skill = rng.normal(50.0, 10.0, runs)
        return {(str(r), Trial(0)): [(value, 1.0) for value in skill] for r in range(routes)}

    assert covered(make, 50.0) >= 0.83


def test_routes_may_have_different_numbers_of_seeds():
    one = [(1.0, 1.0)]
    of = {("a", Trial(0)): one, ("b", Trial(0)): [(3.0, 1.0)], ("b", Trial(1)): [(3.0, 1.0)]}
    drawn = bootstrap(of, samples=4000)
    assert set(np.round(drawn, 6)) == {1.0, 3.0, round(7.0 / 3.0, 6)}


def test_repetitions_of_a_seed_are_drawn_together_and_all_count():
    drives = [
        drive(route=route, seed=seed, repetition=r, completion=20.0 * r + 40.0 * seed)
        for route in "ab"
        for seed in (0, 1)
        for r in (0, 1)
    ]
    found = cells(drives)
    assert len(found) == 8
    assert estimate(found, MEASURE["completion_pct"]).value == pytest.approx(30.0)
    pairs = {key: [(d.completion_pct, 1.0) for d in runs] for key, runs in found.items()}
    drawn = bootstrap(pairs, samples=4000)
    assert set(np.round(drawn, 6)) == {10.0, 20.0, 30.0, 40.0, 50.0}


def test_the_same_seed_draws_the_same():
    of = {(str(i), Trial(0)): [(float(i), 1.0)] for i in range(9)}
    np.testing.assert_array_equal(bootstrap(of, seed=3), bootstrap(of, seed=3))
    assert not np.array_equal(bootstrap(of, seed=3), bootstrap(of, seed=4))


def test_pairs_cancel_what_routes_have_in_common():
    rng = np.random.default_rng(0)
    hard = rng.uniform(20.0, 90.0, 12)
    a = cells([drive(route=f"{i}", completion=h + 5.0) for i, h in enumerate(hard)])
    b = cells([drive(route=f"{i}", completion=h) for i, h in enumerate(hard)])
    gain = paired_difference(a, b, MEASURE["completion_pct"])
    assert gain.value == pytest.approx(5.0)
    assert gain.low == pytest.approx(5.0)
    assert gain.excludes_zero
    alone = estimate(b, MEASURE["completion_pct"])
    assert alone.high - alone.low > 10.0


def test_pairs_hold_only_what_both_drove():
    a = cells([drive(route=name, completion=50.0) for name in "abc"])
    b = cells([drive(route=name, completion=c) for name, c in zip("bcd", (40, 40, 0), strict=True)])
    assert paired_difference(a, b, MEASURE["completion_pct"]).value == pytest.approx(10.0)
    none = paired_difference(a, cells([drive(route="z")]), MEASURE["completion_pct"])
    assert none.value is None


def test_runs_of_a_policy_pool_and_pair_with_a_policy_of_one_run():
    runs = [[drive(route=r, completion=c) for r in "abcdef"] for c in (40.0, 60.0)]
    pooled = cells(*runs)
    assert estimate(pooled, MEASURE["completion_pct"]).value == pytest.approx(50.0)
    spread = estimate(pooled, MEASURE["completion_pct"])
    assert (spread.low, spread.high) == (pytest.approx(40.0), pytest.approx(60.0))
    other = cells([drive(route=r, completion=30.0) for r in "abcdef"])
    gain = paired_difference(pooled, other, MEASURE["completion_pct"])
    assert gain.value == pytest.approx(20.0)
    assert gain.excludes_zero
