import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.drives import ScenarioResult
from dreamdrive.experiments.event_log import parse_log
from dreamdrive.experiments.scorers.registry import MODULES, find_scorer
from support.logs import event, lines_of, log, ticks

PDMS = find_scorer("pdms-style-1")
NUM = 200


def other(tick, x, y=0.0, speed=0.0, number=7, yaw=0.0):
    """Returns a car of 4 m by 2 m; the ego is at 10 m/s, 1 m further each tick, and 5 m long."""
    return (tick, number, 0, x, y, yaw, speed * np.cos(yaw), speed * np.sin(yaw), 2.0, 1.0)


def scored(actors=(), causes=(), events=(), **fields):
    columns = fields.pop("columns", {})
    return PDMS.score(log(causes, ticks(NUM, actors, **columns), events, **fields))


def test_a_clean_drive_is_100():
    assert scored().value == pytest.approx(100.0)
    assert scored(completion=40.0).value == pytest.approx(100.0 * (2.0 + 5.0 + 2.0) / 12.0)


def test_contact_is_foreseen_within_095_seconds():
    gap_m = 2.5 + 2.0
    near, far = 50.0 + gap_m + 8.9, 50.0 + gap_m + 9.1
    assert scored([other(50, near)]).terms["time_to_collision"] == pytest.approx(0.8)
    assert scored([other(50, far)]).terms["time_to_collision"] == 1.0
    assert scored([other(50, near, speed=10.0)]).terms["time_to_collision"] == 1.0
    assert scored([other(50, near, y=2.1)]).terms["time_to_collision"] == 1.0
    assert scored([other(50, 50.0 - 5.0, speed=20.0)]).terms["time_to_collision"] == 1.0
    standing = {"columns": {"speed_mps": 0.0}}
    assert scored([other(50, 56.0, speed=-10.0)], **standing).terms["time_to_collision"] == 1.0
    crossing = other(50, 55.0, y=-9.0, speed=10.0, yaw=np.pi / 2)
    assert scored([crossing]).terms["time_to_collision"] == pytest.approx(0.8)


def test_windows_of_four_seconds():
    close = [other(t, t + 8.0) for t in (10, 11, 50)]
    assert scored(close).terms["time_to_collision"] == pytest.approx(0.6)
    hard = np.zeros(NUM)
    hard[100] = -60.0
    terms = scored(columns={"acceleration_ahead_mps2": hard}).terms
    assert terms["comfort"] == pytest.approx(0.8)


def test_whose_fault_a_contact_was():
    contact = [event("collision_vehicle", 5.0, other=7)]
    ahead, behind, beside = other(49, 53.5), other(49, 44.6, speed=15.0), other(49, 48.0, y=2.0)
    assert scored([ahead], events=contact).terms["no_collision"] == 0.0
    assert scored([behind], events=contact).terms["no_collision"] == 1.0
    assert scored([beside], events=contact).terms["no_collision"] == 0.0
    standing = {"columns": {"speed_mps": 0.0}}
    assert scored([ahead], events=contact, **standing).terms["no_collision"] == 1.0
    assert scored(causes=["collision_static"]).value == pytest.approx(50.0)
    with pytest.raises(NotMeasuredError, match="actor 7"):
        scored([], events=contact)


def test_leaving_the_lanes_is_worth_nothing():
    assert scored(causes=["off_road"]).value == 0.0
    assert scored(outside_m=1.0).value == 0.0


CAUSES = ("collision_static", "off_road", "red_light", "stop_sign")


@settings(deadline=None)
@given(
    causes=st.lists(st.sampled_from(CAUSES), max_size=5), more=st.sampled_from(CAUSES),
    data=st.data(),
)  # fmt: skip
def test_every_scorer_is_monotone_and_knows_neither_order_nor_pieces(causes, more, data):
    way = ticks(30, [other(5, 12.0), other(20, 28.0)])
    asks = (ScenarioResult(name="walkers", type="PedestrianCrossing", result="solved"),)
    made, worse = (log(told, way, scenarios=asks) for told in (causes, [*causes, more]))
    cuts = data.draw(st.lists(st.integers(0, 30), max_size=4))
    start, *between, end = lines_of(made, cuts)
    rows = [line for line in between if '"ticks"' in line]
    events = data.draw(st.permutations([line for line in between if '"event"' in line]))
    again = parse_log([start, *events, *rows, end])
    for name in MODULES:
        scorer = find_scorer(name)
        assert scorer.score(worse).value <= scorer.score(made).value
        assert scorer.score(again) == scorer.score(made)
