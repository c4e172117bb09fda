from types import SimpleNamespace

import numpy as np
import pytest

from dreamdrive.envs.carla.events import (
    ContactLog,
    ContactRule,
    EgoInstant,
    StopLineRule,
    boxes_touch,
    contact_cause,
)
from dreamdrive.envs.carla.scene import EgoPose, Scene


def scene_at(x, y=0.0, speed=5.0, others=(), frame=1) -> Scene:
    n = len(others)
    return Scene(
        frame=frame, time_s=0.0,
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


class Judge:
    """A rule that is told of physics steps, two a decision, from frame 100 on."""

    def __init__(self):
        self.log = ContactLog()
        self.rule = ContactRule(self.log, 0.1)
        self.scene = scene_at(0.0, speed=0.0, frame=100)
        self.causes = []

    def decision(self, *steps):
        """Makes steps of (x, speed, contacts), each contact an actor and its type."""
        before, frame = self.scene, self.scene.frame
        for x, speed, *contacts in steps:
            frame += 1
            self.log.note_ego(EgoInstant(frame=frame, x=x, y=0.0, speed_mps=speed))
            for other, kind in contacts:
                contact(self.log, other, kind, frame)
        self.scene = scene_at(steps[-1][0], speed=steps[-1][1], frame=frame)
        events = self.rule.check(self.scene, before, 100)
        self.causes += [event.cause for event in events]
        return events

    def drive(self, x, speed=5.0, seconds=0.0):
        """Goes to x and passes the time there."""
        for _ in range(max(1, round(seconds * 10))):
            self.decision((x, speed), (x, speed))
        return self


CAR, WALKER, WALL = (7, "vehicle.a.b"), (8, "walker.pedestrian.0001"), (0, "static.building")


def test_the_same_actor_counts_once_in_five_seconds_wherever():
    judge = Judge().drive(0.0)
    (event,) = judge.decision((0.0, 5.0, CAR), (0.0, 5.0))
    assert event.frame == judge.scene.frame - 101
    assert event.time_s == pytest.approx(event.frame * 0.05)
    judge.drive(20.0, seconds=4.8)
    assert judge.decision((20.0, 5.0, CAR), (20.0, 5.0)) == []
    (again,) = judge.decision((20.0, 5.0, CAR), (20.0, 5.0, CAR))
    assert again.frame - event.frame == 101


def test_a_contact_that_lasts_counts_again_after_five_seconds_and_five_metres():
    judge = Judge().drive(0.0)
    for step in range(120):
        judge.decision((0.1 * step, 1.0, CAR), (0.1 * step + 0.05, 1.0, CAR))
    assert len(judge.causes) == 3


def test_who_is_hit_within_five_metres_of_another_contact_is_part_of_it():
    judge = Judge().drive(0.0)
    judge.decision((0.0, 5.0, CAR), (0.5, 5.0, WALKER))
    judge.decision((4.0, 5.0), (5.0, 5.0, WALL))
    assert judge.causes == ["collision_vehicle"]
    judge.decision((6.0, 5.0), (6.0, 5.0, WALKER))
    assert judge.causes == ["collision_vehicle", "collision_walker"]
    # It is forgotten for good once left, be it that the ego comes back.
    judge.drive(12.0)
    judge.decision((3.0, 5.0), (3.0, 5.0, WALL))
    assert judge.causes[2:] == ["collision_static"]


def test_a_wall_has_no_number_and_counts_again_at_another_place():
    judge = Judge().drive(0.0)
    judge.decision((0.0, 5.0, WALL), (0.0, 5.0))
    judge.decision((6.0, 5.0), (6.0, 5.0, WALL))
    assert judge.causes == ["collision_static", "collision_static"]


def test_who_stands_is_not_to_blame():
    judge = Judge().drive(0.0, speed=0.0)
    assert judge.decision((0.0, 0.09, CAR), (0.1, 0.09, CAR)) == []


def test_who_is_hit_while_standing_is_not_to_blame_for_the_push():
    judge = Judge().drive(0.0, speed=0.0)
    # The blow sets it moving within its step; what counts is how it was before.
    assert judge.decision((0.0, 0.0), (0.05, 1.2, CAR)) == []
    assert judge.drive(1.0).causes == []


def test_who_is_pushed_on_is_charged_as_the_leaderboard_does():
    judge = Judge().drive(0.0, speed=0.0)
    judge.decision((0.0, 0.8, CAR), (0.05, 1.2, CAR))
    assert judge.causes == ["collision_vehicle"]


def test_who_stops_at_a_blow_was_moving_before_it():
    judge = Judge().drive(0.0)
    judge.decision((0.2, 4.0), (0.2, 0.0, WALL))
    assert judge.causes == ["collision_static"]


def test_a_message_that_comes_late_is_judged_by_its_own_moment():
    judge = Judge().drive(0.0)
    judge.decision((0.2, 4.0), (0.2, 0.0))
    contact(judge.log, *WALL, frame=judge.scene.frame)
    (event,) = judge.decision((0.2, 0.0), (0.2, 0.0))
    assert event.frame == judge.scene.frame - 2 - 100
    # As one that came in time: the ego stood before it.
    contact(judge.log, *CAR, frame=judge.scene.frame)
    assert judge.drive(0.2, speed=3.0).causes == ["collision_static"]


def test_scenes_alone_tell_how_the_ego_moved():
    log = ContactLog()
    rule = ContactRule(log, 0.1)
    contact(log, frame=101)
    assert rule.check(scene_at(0.0, speed=1.0, frame=102), scene_at(0.0, speed=0.0), 100) == []
    contact(log, frame=103)
    before = scene_at(0.0, speed=1.0, frame=102)
    assert len(rule.check(scene_at(0.0, speed=0.0, frame=104), before, 100)) == 1


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
