from types import SimpleNamespace

import numpy as np
import pytest

from dreamdrive.envs.carla.events import (
    ContactLog,
    ContactRule,
    StopLineRule,
    boxes_touch,
    contact_cause,
)
from dreamdrive.envs.carla.scene import EgoPose, Scene


def scene_at(x, y=0.0, speed=5.0, others=()) -> Scene:
    n = len(others)
    return Scene(
        frame=1, time_s=0.0,
        ego=EgoPose(
            x=x, y=y, yaw_rad=0.0, speed_mps=speed, yaw_rate_radps=0.0,
            half_length_m=2.5, half_width_m=1.0,
        ),
        ids=np.arange(n), kinds=np.zeros(n, np.int8), boxes=np.array(others).reshape(-1, 5),
        velocity=np.zeros((n, 2)), yaw_rate=np.zeros(n),
    )  # fmt: skip


LINE = np.array([[20.0, 0.0, 0.0, 0.75, 1.75]])


def test_a_line_is_crossed_by_the_front_once():
    rule = StopLineRule(LINE)
    crossed = [bool(rule.crossed(scene_at(x))[0]) for x in (15.0, 17.0, 17.6, 18.5, 25.0)]
    assert crossed == [False, False, True, False, False]


@pytest.mark.parametrize("y", [2.0, -3.5])
def test_a_line_of_another_lane_is_not_crossed(y):
    rule = StopLineRule(LINE)
    assert not any(rule.crossed(scene_at(x, y))[0] for x in (15.0, 17.0, 18.0, 20.0))


def test_a_line_is_not_crossed_backwards():
    rule = StopLineRule(LINE)
    assert not any(rule.crossed(scene_at(x))[0] for x in (19.0, 18.0, 17.0, 16.0))


def test_standing_in_the_area_is_remembered_until_the_line():
    rule = StopLineRule(LINE)
    for x, speed in ((14.0, 3.0), (15.0, 0.05), (16.5, 2.0)):
        rule.crossed(scene_at(x, speed=speed))
    assert rule.crossed(scene_at(17.8))[0]
    assert rule.stood[0]


def test_a_line_just_crossed_is_passed_and_one_far_behind_is_not():
    rule = StopLineRule(LINE)
    seen = []
    for x in (15.0, 17.0, 18.0, 20.0, 26.0):
        rule.crossed(scene_at(x))
        seen.append(bool(rule.passed[0]))
    assert seen == [False, False, True, True, False]


def test_standing_far_before_the_area_does_not_count():
    rule = StopLineRule(LINE)
    for x, speed in ((5.0, 0.0), (12.0, 3.0), (17.0, 3.0)):
        rule.crossed(scene_at(x, speed=speed))
    assert rule.crossed(scene_at(17.8))[0]
    assert not rule.stood[0]


def test_touching_boxes():
    a = np.array([0.0, 0.0, 0.0, 2.0, 1.0])
    assert boxes_touch(a, np.array([3.9, 0.0, 0.0, 2.0, 1.0]))
    assert not boxes_touch(a, np.array([4.1, 0.0, 0.0, 2.0, 1.0]))
    assert boxes_touch(a, np.array([4.1, 0.0, 0.0, 2.0, 1.0]), 0.2)
    assert not boxes_touch(a, np.array([2.9, 1.9, -np.pi / 4, 2.0, 0.3]))
    assert boxes_touch(a, np.array([2.2, 1.4, np.pi / 4, 2.0, 0.4]))


def contact(log, other=7, kind="vehicle.a.b", frame=100):
    log.add(SimpleNamespace(frame=frame, other_actor=SimpleNamespace(id=other, type_id=kind)))


def test_the_same_contact_counts_once_in_five_seconds():
    log = ContactLog()
    rule = ContactRule(log, 0.1)
    counts = []
    for time_s in (0.0, 1.0, 5.5, 11.0):
        contact(log, frame=100 + round(20 * time_s))
        events = rule.check(scene_at(0.0), scene_at(0.0), 100)
        assert all(e.time_s == pytest.approx(time_s) for e in events)
        counts.append(len(events))
    assert counts == [1, 0, 0, 1]


def test_another_actor_counts_by_itself():
    log = ContactLog()
    rule = ContactRule(log, 0.1)
    contact(log)
    contact(log, 8, "walker.pedestrian.0001")
    events = rule.check(scene_at(0.0), scene_at(0.0), 100)
    assert [e.cause for e in events] == ["collision_vehicle", "collision_walker"]


def test_who_stands_is_not_to_blame():
    log = ContactLog()
    rule = ContactRule(log, 0.1)
    contact(log)
    assert rule.check(scene_at(0.0, speed=0.0), scene_at(0.0, speed=0.05), 100) == []


@pytest.mark.parametrize("kind", ["static.sidewalk", "static.road", "static.terrain"])
def test_what_wheels_roll_on_is_no_collision(kind):
    log = ContactLog()
    contact(log, 0, kind)
    assert log.take(wait=False) == []


def test_causes_by_type():
    kinds = ("vehicle.tesla.model3", "walker.pedestrian.0001", "static.building", "traffic.pole")
    assert [contact_cause(kind) for kind in kinds] == [
        "collision_vehicle", "collision_walker", "collision_static", "collision_static",
    ]  # fmt: skip


def test_a_contact_without_an_actor_is_static():
    log = ContactLog()
    log.add(SimpleNamespace(frame=3, other_actor=None))
    assert log.take(wait=False) == [(3, 0, "static")]
