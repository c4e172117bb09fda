"""What a report shows of drives: the worst first, in words, pictures and maps."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from dreamdrive.experiments.drives import ScenarioResult
from dreamdrive.experiments.event_log import LogEvent
from dreamdrive.experiments.policy_turn import NOT_FRESH
from dreamdrive.experiments.report import ReportConfig
from dreamdrive.experiments.report_drives import DrivesPart, drives_of, once
from dreamdrive.experiments.report_html import Media
from dreamdrive.experiments.report_outcomes import faults, scenarios
from dreamdrive.experiments.report_pictures import BEFORE_S, route_map, strip
from dreamdrive.experiments.report_roads import Roads, path_of, simplified
from dreamdrive.experiments.report_words import describe, ending, place_of, standing
from support.drives import drive
from support.evaluations import ROUTES, car, hit, keep, made
from support.logs import event


def test_contacts_are_told_by_whom_from_where_and_how_fast():
    ahead = describe(hit(), made([hit()], [car(50, 4.4)]))
    assert ahead == "Hit a vehicle (audi tt) at 36 km/h; it was ahead and standing."
    crossing = made([hit()], [car(50, 4.4, 1.5, speed=5.0, yaw=-1.57)])
    assert "ahead to the left and moving at 18 km/h" in describe(hit(), crossing)
    thrown = [car(49, 4.4, 1.5, speed=2.0), car(50, 4.4, speed=10.0)]
    assert "ahead to the left and moving at 7 km/h" in describe(hit(), made([hit()], thrown))
    beside = describe(hit(), made([hit()], [car(50, 0.0, -2.0)]))
    assert "at its right side" in beside
    behind = made([hit()], [car(t, -4.6, speed=15.0) for t in (49, 50)])
    assert describe(hit(), behind).endswith(
        "By nuPlan's rule not the policy's fault, since its car was hit from behind."
    )
    still = made([hit()], [car(50, 4.4)], {"speed_mps": 0.0, "x": 50.0})
    assert (
        "Stood and touched a vehicle (audi tt); it was ahead and standing. By nuPlan"
        in describe(hit(), still)
    )
    walker = hit("walker", detail="walker.pedestrian.0009")
    assert describe(walker, made([walker])) == "Hit a walker at 36 km/h."
    wall = hit("static", detail="static.building", number=0)
    assert describe(wall, made([wall])) == "Hit a building at 36 km/h."


def test_other_infractions_are_told_with_what_the_log_knows():
    assert describe(event("red_light", 3.0), made()) == (
        "Crossed a stop line at 36 km/h while its light was red."
    )
    speed = np.where(np.arange(200) < 20, 2.0, 10.0)
    told = describe(event("stop_sign", 4.0), made(columns={"speed_mps": speed}))
    assert "without having stopped: its slowest in the 5 s before was 7 km/h" in told
    assert describe(event("off_road", 3.0), made(columns={"lateral_m": -2.6})) == (
        "Left the lanes: 2.6 m to the right of its route, at 36 km/h."
    )
    slow = event("min_speed", 3.0, value=41.3)
    assert describe(slow, made()) == "Drove at 41 % of the mean speed of the traffic."
    bare = replace(made([hit()]), ticks=None)
    assert describe(hit(), bare) == "Hit a vehicle (audi tt)."


def test_the_end_says_where_and_what_stood_ahead():
    assert ending(drive()) == "reached the end after 10 s"
    assert (
        ending(drive(completion=40.0)) == "stood until it was taken off after 10 s, 400 of 1000 m"
    )
    speed = np.where(np.arange(200) < 80, 10.0, 0.0)
    stood = {"speed_mps": speed, "x": np.minimum(10.0 * 0.1 * np.arange(200), 80.0)}
    told = standing(made([], [(199, 7, 0, 88.0, 0.0, 0.0, 0.0, 0.0, 2.0, 1.0)], stood))
    assert told == "Stood for the last 12 s; a vehicle 3.5 m ahead."
    assert standing(made(columns=stood)).endswith("no vehicle or walker within 20 m ahead.")
    assert standing(made(columns={"speed_mps": 0.0})).startswith("Never moved in 20 s")
    assert standing(made()) == ""
    assert place_of(LogEvent(cause="off_road", time_s=1.0, x=-0.3, y=12.6)) == "0, 13"


def drawn(svg):
    return ET.fromstring(re.sub(r"<use [^>]*>", "", svg))


def test_a_strip_shows_the_two_seconds_before_and_whom_the_ego_hit():
    actors = [car(t, 4.4 + 0.5 * (50 - t)) for t in range(30, 51)]
    actors += [car(50, -8.0, 3.0, number=9), car(50, 100.0, number=11)]
    tree = drawn(strip([hit()], made([hit()], actors), "<use/>"))
    frames = [part for part in tree if part.tag == "svg"]
    assert len(frames) == len(BEFORE_S)
    texts = [part.text for part in tree if part.tag == "text"]
    assert texts == ["\N{MINUS SIGN}2 s, 36 km/h", "\N{MINUS SIGN}1 s, 36 km/h", "5.0 s, 36 km/h"]
    kinds = [[p.get("class") for p in frame.iter() if p.get("class")] for frame in frames]
    assert [found.count("hit") for found in kinds] == [1, 1, 1]
    assert [found.count("car") for found in kinds] == [0, 0, 1]
    assert [found.count("ring") for found in kinds] == [0, 0, 1]
    early = drawn(strip([hit(time_s=1.5)], made(), ""))
    assert len([part for part in early if part.tag == "svg"]) == 2
    assert strip([hit()], replace(made([hit()]), ticks=None), "") == ""


def test_what_happens_alike_at_one_moment_is_one_picture(evaluation):
    both = [hit("walker", 5.0, number=7), hit("walker", 5.3, number=9)]
    walkers = [car(50, 3.0, 0.5, number=n, is_walker=1) for n in (7, 9, 11)]
    keep(evaluation, made(both, walkers, policy="a", route=ROUTES[0], town="Dream02"))
    summary = json.loads((evaluation / "summary.json").read_text())
    words = DrivesPart(summary, evaluation, Roads(), Media(evaluation / "r.html", 0), 9).worst()
    (shown,) = re.findall(r"<figcaption>(1 .*?)</figcaption>", words)
    assert shown == "1 to 2: hit a walker"
    assert words.count('class="hit" cx') == 2


def test_a_car_that_stood_is_shown_where_it_stood_unless_it_never_moved(evaluation):
    summary = json.loads((evaluation / "summary.json").read_text())
    words = DrivesPart(summary, evaluation, Roads(), Media(evaluation / "r.html", 0), 9).worst()
    assert words.count("where it was at the end") == 1
    keep(evaluation, made(policy="a", route=ROUTES[1], completion=0.0, town="Dream02"))
    words = DrivesPart(summary, evaluation, Roads(), Media(evaluation / "r.html", 0), 9).worst()
    assert "where it was" not in words
    assert words.count('class="map"') == 2


def test_the_ego_heads_up_and_left_is_left():
    yaw = 2.0
    way = {"x": 30.0, "y": -20.0, "yaw_rad": yaw}
    beside = (50, 7, 0, 30.0 + 10.0 * np.cos(yaw) - 4.0 * np.sin(yaw),
              -20.0 + 10.0 * np.sin(yaw) + 4.0 * np.cos(yaw), yaw, 0.0, 0.0, 2.0, 1.0)  # fmt: skip
    tree = drawn(strip([hit()], made([hit()], [beside], way), ""))
    group = next(p for p in [part for part in tree if part.tag == "svg"][-1].iter() if p.tag == "g")
    a, b, c, d, e, f = map(float, re.findall(r"-?[\d.]+", group.get("transform")))
    (shape,) = [p for p in group if p.get("class") == "hit"]
    x, y, _ = map(float, re.findall(r"-?[\d.]+", shape.get("transform")))
    assert a * x + c * y + e == pytest.approx(-4.0, abs=0.2)
    assert b * x + d * y + f == pytest.approx(-10.0, abs=0.2)


def test_a_map_marks_the_route_and_each_infraction():
    events = [("1", hit()), ("2", event("red_light", 9.0))]
    tree = drawn(route_map(made([e for _, e in events]), events, "<use/>"))
    kinds = [part.get("class") for part in tree.iter()]
    assert kinds.count("way") == kinds.count("trail") == kinds.count("start") == 1
    assert [part.text for part in tree.iter() if part.get("class") == "number"] == ["1", "2"]
    _, _, width, height = map(float, tree.get("viewBox").split())
    assert 0.4 < height / width < 2.3
    assert route_map(replace(made(), ticks=None), [], "") == ""


def test_marks_that_would_cover_each_other_are_one():
    events = [("1", hit()), ("2", hit(time_s=5.2)), ("3", hit(time_s=15.0))]
    tree = drawn(route_map(made([e for _, e in events]), events, ""))
    assert [p.text for p in tree.iter() if p.get("class") == "number"] == ["1, 2", "3"]


def test_lines_keep_their_shape_with_few_points():
    angle = np.linspace(0.0, np.pi, 200)
    bend = 20.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    few = simplified(bend, 0.1)
    assert len(few) < 30
    middle = (few[:-1] + few[1:]) / 2
    assert np.abs(np.hypot(*middle.T) - 20.0).max() < 0.11
    assert len(simplified(np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]))) == 2
    assert path_of(np.array([[0.04, 1.0], [1.26, 1.0], [1.28, 0.5]])) == "M0 1l1.3 0l0 -0.5"


def test_a_town_is_drawn_once_and_an_unknown_one_not_at_all(tmp_path):
    roads = Roads()
    assert roads.use("Dream02") == roads.use("Dream02") != ""
    assert roads.use("Town99") == ""
    assert roads.symbols().count('class="road"') == 1
    assert Roads().symbols() == ""
    broken = tmp_path / "Mine.xodr"
    broken.write_text("<no")
    assert Roads([broken]).use("Mine") == ""


def test_what_happens_at_once_with_one_actor_is_told_once():
    events = [hit(time_s=5.0), hit(time_s=5.1, number=8), hit(time_s=5.9), hit(time_s=7.5)]
    assert [(e.time_s, e.other, times) for e, times in once(events)] == [
        (5.0, 7, 2), (5.1, 8, 1), (7.5, 7, 1),
    ]  # fmt: skip


def test_the_ten_worst_drives_of_each_policy_come_first():
    def told(driving_score):
        return {"driving_score": driving_score, "completion_pct": 100.0, "cause": "route_finished",
                "events": [[1.0, "red_light"]]}  # fmt: skip

    clean = {"driving_score": 0.0, "completion_pct": 0.0, "cause": "route_finished", "events": []}
    rows = [
        {"route": f"r{i}", "seed": 0, "policies": {"a": told(30.0 - i), "b": clean}}
        for i in range(12)
    ]
    summary = {"routes": rows}
    assert [d.route for d in drives_of(summary)["a"]] == [f"r{i}" for i in range(11, -1, -1)]
    shown = DrivesPart(
        summary, ReportConfig().run / "none", Roads(), Media(ReportConfig().file, 0), 9
    )
    words = shown.worst()
    assert re.findall(r"points: (r\d+),", words) == [f"r{i}" for i in range(11, 1, -1)]
    assert "<b>b</b>: 12 drives, nothing wrong" in words
    assert "<b>a</b>: 12 drives, something wrong in 12; the 10 worst" in words
    assert "ran a red light" in words


def test_scenarios_are_counted_by_type_and_cause():
    def played(policy, *outcomes):
        told = tuple(
            ScenarioResult(name=f"{kind}_1", type=kind, result=result, cause=cause)
            for kind, result, cause in outcomes
        )
        return drive(policy, scenarios=told)

    words = scenarios(
        [
            played(
                "a", ("ParkingCutIn", "solved", ""), ("Accident", "failed", "collision_vehicle")
            ),
            played("a", ("Accident", "absent", ""), ("Accident", "unreached", "")),
            played("b", ("ParkingCutIn", "solved", "")),
        ]
    )
    cells = re.findall(r"<td[^>]*>(.*?)</td>", words)
    assert cells == [
        "Accident", "0 / 2<small>hit a vehicle 1<br>unreached 1<br>absent 1</small>", "",
        "ParkingCutIn", "1 / 1", "1 / 1",
        "All", "1 / 3<small>unreached 1<br>absent 1</small>", "1 / 1",
    ]  # fmt: skip
    assert "no scenarios" in scenarios([drive()])


def test_faults_say_whose_they_are_and_what_they_cost():
    words = faults(
        [
            drive(route="x", cause="sim_error", completion=0.0, sim_errors=("Server died: <9>",)),
            drive(route="y", sim_errors=("froze", f"{NOT_FRESH}: no action within 9 s")),
            drive(route="z", cause="policy_error", completion=5.0,
                  policy_fault="Traceback\nValueError: nan"),
        ]
    )  # fmt: skip
    assert "3 drives: 1 lost to the simulator, 1 driven again" in words
    assert "1 ended by a fault of the policy's program" in words
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in words.split("<tr>")[2:]]
    assert [row[0] for row in rows] == ["simulator", "simulator", "nobody", "policy"]
    assert [row[3] for row in rows][:3] == ["in no mean", "driven again", "driven again"]
    assert "Server died: &lt;9&gt;" in words
    assert "<summary>ValueError: nan</summary>" in words
    assert "<table" not in faults([drive()])
