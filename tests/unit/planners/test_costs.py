import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamdrive.driving.causes import TERMINATION_CAUSES
from dreamdrive.driving.comfort import COMFORT_BOUNDS
from dreamdrive.driving.state import STATE_INDEX, STATE_SIZE
from dreamdrive.planners.costs import (
    CostWeights,
    collision_cost,
    comfort_cost,
    progress_cost,
    rule_cost,
    split_causes,
)

FEW = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def vector(**fields: float) -> torch.Tensor:
    values = torch.zeros(1, 1, STATE_SIZE)
    for name, value in fields.items():
        values[..., STATE_INDEX[name]] = value
    return values


def termination(**causes: float) -> torch.Tensor:
    return torch.tensor([[[causes.get(name, 0.0) for name in TERMINATION_CAUSES]]])


def test_causes_are_collisions_or_broken_rules() -> None:
    hit, rule = split_causes(TERMINATION_CAUSES)
    assert [TERMINATION_CAUSES[i] for i in hit] == [
        "collision_vehicle", "collision_walker", "collision_static",
    ]  # fmt: skip
    assert [TERMINATION_CAUSES[i] for i in rule] == [
        "red_light", "stop_sign", "off_road", "route_deviation",
    ]  # fmt: skip


def test_collision_and_rule_costs_are_sums_of_probabilities() -> None:
    ends = termination(collision_vehicle=0.1, collision_static=0.2, red_light=0.3, off_road=0.05)
    assert collision_cost(ends, TERMINATION_CAUSES).item() == pytest.approx(0.3)
    assert rule_cost(ends, TERMINATION_CAUSES, vector()).item() == pytest.approx(0.35)


def test_speeding_counts_in_units_of_two_and_a_bit_metres_a_second() -> None:
    none = termination()
    for speed, expected in ((9.0, 0.0), (10.0, 0.0), (11.115, 0.5), (20.0, 1.0)):
        seen = vector(speed=speed, speed_limit=10.0)
        assert rule_cost(none, TERMINATION_CAUSES, seen).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("speed", "heading", "expected"),
    [(0.0, 0.0, 1.0), (5.0, 0.0, 0.5), (10.0, 0.0, 0.0), (20.0, 0.0, 0.0),
     (10.0, math.pi / 3, 0.5), (10.0, math.pi, 1.0), (-5.0, 0.0, 1.0)],
)  # fmt: skip
def test_progress_is_what_is_lost_to_the_reference(
    speed: float, heading: float, expected: float
) -> None:
    cost = progress_cost(vector(speed=speed, heading_error=heading), 10.0)
    assert cost.item() == pytest.approx(expected, abs=1e-6)


def test_progress_without_a_reference_is_finite() -> None:
    assert progress_cost(vector(speed=0.0), 0.0).item() == 1.0


def test_comfort_of_known_signals() -> None:
    """One signal at its bound: 0.05 / 6. At twice its bound: (1 + 0.05 · 4) / 6."""
    assert comfort_cost(torch.zeros(1, 1, 6)).item() == 0.0
    for i, bound in enumerate(COMFORT_BOUNDS):
        for limit in (bound.low, bound.high):
            signals = torch.zeros(1, 1, 6)
            signals[..., i] = limit
            raw = 0.05 / 6.0
            assert comfort_cost(signals).item() == pytest.approx(1.0 - math.exp(-raw), rel=1e-4)
            raw = 1.2 / 6.0
            cost = comfort_cost(2.0 * signals).item()
            assert cost == pytest.approx(1.0 - math.exp(-raw), rel=1e-4)


@FEW
@given(st.lists(st.floats(-100.0, 100.0), min_size=6, max_size=6), st.floats(1.0, 5.0))
def test_comfort_never_falls_as_motion_gets_rougher_and_stays_below_one(
    values: list[float], factor: float
) -> None:
    signals = torch.tensor(values)[None, None]
    mild, rough = comfort_cost(signals), comfort_cost(factor * signals)
    assert 0.0 <= mild.item() <= rough.item() + 1e-6
    assert rough.item() <= 1.0


def test_no_discomfort_outweighs_standing_and_no_standing_outweighs_a_broken_rule() -> None:
    weights = CostWeights()
    assert weights.comfort < weights.progress
    assert weights.comfort + weights.progress < weights.rule
    assert weights.comfort + weights.progress + weights.rule < weights.collision


@pytest.mark.parametrize(
    "fields", [{"comfort": 3.0}, {"progress": 25.0}, {"rule": 100.0}, {"comfort": -1.0}]
)
def test_weights_out_of_order_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"order|at least 0"):
        CostWeights(**fields)
