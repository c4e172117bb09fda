from types import SimpleNamespace

import numpy as np
import pytest

from dreamdrive.envs.carla.episode import Drive, EpisodeRules
from dreamdrive.envs.carla.events import ContactLog
from dreamdrive.envs.carla.scene import EgoPose, Scene
from support.routes import straight_route

LIGHT_M, SIGN_M = 20.0, 40.0


class Town:
    """A light and a stop sign on a straight road; the light is red where told."""

    def __init__(self) -> None:
        self.light_lines = SimpleNamespace(boxes=np.array([[LIGHT_M, 0.0, 0.0, 0.75, 1.75]]))
        self.sign_lines = np.array([[SIGN_M, 0.0, 0.0, 0.75, 1.75]])
        self.is_red = False

    def red_only(self) -> np.ndarray:
        return np.array([self.is_red])

    def lane_departure_m(self, x: float, y: float) -> float:
        return max(0.0, abs(y) - 3.5)

    def is_against_traffic(self, x: float, y: float, yaw: float) -> bool:
        return y < -1.75


def scene_at(x: float, y: float = 0.0, speed: float = 5.0, frame: int = 0) -> Scene:
    return Scene(
        frame=frame, time_s=0.05 * frame,
        ego=EgoPose(
            x=x, y=y, yaw_rad=0.0, speed_mps=speed, yaw_rate_radps=0.0,
            half_length_m=2.5, half_width_m=1.0,
        ),
        ids=np.zeros(0, int), kinds=np.zeros(0, np.int8), boxes=np.zeros((0, 5)),
        velocity=np.zeros((0, 2)), yaw_rate=np.zeros(0),
    )  # fmt: skip


def drive_from(x: float, town: Town, **rules) -> Drive:
    route = straight_route(length=80)
    drive = Drive(route, town, ContactLog(), EpisodeRules(**rules), scene_at(1.0))
    for at in np.arange(2.0, x + 0.5):
        assert not drive.advance(scene_at(at)).events
    return drive


@pytest.mark.parametrize(
    ("colours", "runs"), [((True, True), True), ((False, True), False), ((True, False), False)]
)
def test_a_light_is_run_if_it_was_red_already_at_the_decision_before(colours, runs):
    town = Town()
    town.is_red = colours[0]
    drive = drive_from(LIGHT_M - 3.0, town)
    town.is_red = colours[1]
    outcome = drive.advance(scene_at(LIGHT_M - 2.0))
    assert (outcome.cause == "red_light") == runs
    assert outcome.terminated == runs


def test_a_sign_is_run_unless_the_ego_stood_before_it():
    for speed, cause in ((3.0, "stop_sign"), (0.0, "")):
        drive = drive_from(SIGN_M - 6.0, Town())
        drive.advance(scene_at(SIGN_M - 4.0, speed=speed))
        assert drive.advance(scene_at(SIGN_M - 2.0)).cause == cause
        assert not drive.binding_signs.any()


def test_what_is_not_the_drivers_fault_truncates():
    cases = {
        "time_limit": ({"max_steps": 5}, scene_at(6.0)),
        "blocked": ({"blocked_s": 0.1}, scene_at(5.0, speed=0.0)),
        "route_finished": ({}, None),
    }
    for cause, (rules, scene) in cases.items():
        drive = drive_from(5.0, Town(), infractions_end_episode=False, **rules)
        if scene is None:
            for x in np.arange(6.0, 78.0):
                drive.advance(scene_at(x))
            scene = scene_at(79.0)
        outcome = drive.advance(scene)
        assert (outcome.cause, outcome.terminated, outcome.truncated) == (cause, False, True)


def test_leaving_the_road_is_one_event_and_is_measured():
    drive = drive_from(5.0, Town(), infractions_end_episode=False)
    outcomes = [drive.advance(scene_at(*at)) for at in ((6.0, 2.0), (7.0, 4.5), (8.0, 4.5))]
    outcomes += [drive.advance(scene_at(9.0, 0.0)), drive.advance(scene_at(10.0, -2.0))]
    assert [o.is_outside for o in outcomes] == [False, True, True, False, True]
    assert [len(o.events) for o in outcomes] == [0, 1, 0, 0, 1]
    assert drive.outside_m == pytest.approx(7.25**0.5 + 1.0 + 5**0.5)


def test_the_first_infraction_ends_an_episode_of_training_and_not_one_of_evaluation():
    for ends in (True, False):
        drive = drive_from(5.0, Town(), infractions_end_episode=ends)
        outcome = drive.advance(scene_at(6.0, -2.0))
        assert outcome.events[0].cause == "off_road"
        assert (outcome.cause, outcome.terminated) == (("off_road", True) if ends else ("", False))
