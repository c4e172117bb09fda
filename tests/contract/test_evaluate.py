"""Evaluation through the real `carla` client, with servers that die in the middle."""

import json
from dataclasses import replace
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest

from dreamdrive.config import to_dict
from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.ports import any_free_port
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.errors import ConfigError, ServerError
from dreamdrive.experiments import drive_pool
from dreamdrive.experiments.drive_jobs import Conditions, DriverSettings
from dreamdrive.experiments.drive_pool import DrivePool
from dreamdrive.experiments.drives import drive_path, load_drive
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate, plan
from dreamdrive.experiments.event_log import read_log
from dreamdrive.experiments.route_choice import chosen_routes
from dreamdrive.experiments.scorers.bench2drive_abilities import NAME as ABILITIES
from dreamdrive.experiments.scorers.registry import MODULES, find_scorer
from dreamdrive.experiments.scores import score

SHORT = Conditions(
    route_length_m=(60.0, 90.0), num_vehicles=3, time_limit_s=25.0, time_limit_s_per_m=0.2,
    blocked_s=15.0,
)  # fmt: skip


def config(out, **fields):
    return EvaluateConfig(
        **{
            "towns": ("Dream07",), "routes_per_town": 1, "conditions": SHORT, "videos": 0,
            "workers": 1, "tick_deadline_s": 20.0, "out": out,
        }
        | fields
    )  # fmt: skip


def results(made):
    paths = [drive_path(made.out, j.policy.name, j.key) for j in plan(made)]
    return {path.parent.name + "/" + path.stem: load_drive(path) for path in paths}


def timeless(result):
    fields = to_dict(result)
    for name in ("ms_per_decision", "policy", "spec", "fingerprint", "sim_errors", "lost_ticks"):
        del fields[name]
    return fields


def summary_of(out):
    summary = json.loads((out / "summary.json").read_text())
    del summary["facts"]
    for policy in summary["policies"].values():
        del policy["measures"]["ms_per_decision"]
        for name in ("num_repeated", "num_other_traffic"):
            del policy[name]
    return summary


def is_gone(pid):
    """Returns whether a process has ended, be it that nobody has buried it yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    made = config(
        tmp_path_factory.mktemp("whole"), policies=("standing", "random", "expert"),
        seeds=(0, 1), videos=1,
    )  # fmt: skip
    evaluate(made)
    return made


def test_yardsticks_do_what_they_must(whole):
    found = results(whole)
    assert len(found) == 6
    for seed in (0, 1):
        standing = found[f"standing/Dream07-1-000-{seed}"]
        expert = found[f"expert/Dream07-1-000-{seed}"]
        assert (standing.cause, standing.progress_m, standing.events) == ("blocked", 0.0, ())
        assert standing.decisions == 150
        assert (expert.cause, expert.completion_pct) == ("route_finished", 100.0)
        assert expert.length_m == standing.length_m
        assert 60.0 <= expert.length_m <= 110.0
        assert expert.mean_speed_mps > 2.0
        assert expert.mean_speed_mps * expert.time_s == pytest.approx(expert.progress_m, rel=0.1)
        assert expert.ms_per_decision > 0.0
    policies = summary_of(whole.out)["policies"]
    assert policies["standing"]["measures"]["driving_score"]["value"] == 0.0
    assert policies["expert"]["measures"]["completion_pct"]["value"] == 100.0


def test_the_same_policy_and_seed_drive_the_same_again(whole, tmp_path):
    again = config(tmp_path, policies=("expert", "random"), seeds=(1,), repetitions=2)
    evaluate(again)
    before, after = results(whole), results(again)
    assert len(after) == 4
    for name in ("expert", "random"):
        assert timeless(after[f"{name}/Dream07-1-000-1"]) == timeless(
            before[f"{name}/Dream07-1-000-1"]
        )
    # The traffic is the same again, and a policy draws anew.
    once_more = after["expert/Dream07-1-000-1-r1"]
    assert timeless(replace(once_more, repetition=0)) == timeless(before["expert/Dream07-1-000-1"])
    random = [after[f"random/Dream07-1-000-1{again}"].progress_m for again in ("", "-r1")]
    assert random[0] != random[1]
    seeds = [timeless(before[f"random/Dream07-1-000-{seed}"]) for seed in (0, 1)]
    assert seeds[0]["progress_m"] != seeds[1]["progress_m"]


def test_two_workers_and_an_interruption_change_nothing(whole, tmp_path):
    made = config(tmp_path, policies=whole.policies, seeds=whole.seeds, workers=2, videos=1)
    settings = DriverSettings(conditions=SHORT, num_routes=1)
    drives = DrivePool(settings, 0).drive(plan(made))
    from dreamdrive.experiments.drives import save_drive

    save_drive(made.out, next(drives))
    save_drive(made.out, next(drives))
    drives.close()
    evaluate(made)
    assert summary_of(made.out) == summary_of(whole.out)


def test_the_first_drive_is_filmed(whole):
    films = sorted((whole.out / "videos").rglob("*.mp4"))
    assert [film.parent.name for film in films] == ["expert", "random", "standing"]
    with imageio.get_reader(films[2]) as reader:
        assert reader.count_frames() == 75


@pytest.fixture
def kills(tmp_path, monkeypatch):
    """Where policies that kill servers count how many."""
    (tmp_path / "kills").mkdir()
    monkeypatch.setenv("KILLS", str(tmp_path / "kills"))
    return tmp_path / "kills"


def test_a_killed_server_is_replaced_and_the_policy_not_blamed(whole, tmp_path, kills):
    made = config(
        tmp_path / "out", policies=("expert=support.odd_policies:server_killer",), seeds=(0,),
        tick_deadline_s=5.0,
    )  # fmt: skip
    evaluate(made)
    (result,) = results(made).values()
    assert len(result.sim_errors) == 1
    assert timeless(result) == timeless(results(whole)["expert/Dream07-1-000-0"])
    policy = json.loads((made.out / "summary.json").read_text())["policies"]["expert"]
    assert (policy["num_sim_errors"], policy["num_repeated"]) == (0, 1)


def test_a_drive_that_no_server_lives_through_is_not_scored(tmp_path, kills):
    made = config(
        tmp_path / "out", policies=("x=support.odd_policies:serial_killer", "standing"), retries=1,
        tick_deadline_s=5.0,
    )  # fmt: skip
    with pytest.raises(ServerError, match="lost to the simulator: x 1"):
        evaluate(made)
    lost = results(made)["x/Dream07-1-000-0"]
    assert (lost.cause, len(lost.sim_errors)) == ("sim_error", 2)
    assert len(list(kills.iterdir())) == 2
    policies = json.loads((made.out / "summary.json").read_text())["policies"]
    assert (policies["x"]["num_sim_errors"], policies["x"]["num_drives"]) == (1, 0)
    assert policies["x"]["measures"]["driving_score"]["value"] is None
    assert policies["standing"]["num_drives"] == 1


def test_a_process_that_ends_takes_its_server_along(tmp_path, monkeypatch):
    ended = []

    def note(worker, end=drive_pool._end):
        ended.append(worker.server_pid)
        end(worker)

    monkeypatch.setattr(drive_pool, "_end", note)
    made = config(tmp_path, policies=("x=support.odd_policies:Mortal",), retries=0)
    evaluate(made)
    (result,) = results(made).values()
    assert (result.cause, result.decisions, result.sim_errors) == ("policy_lost", 0, ())
    assert "exit code 3" in result.policy_fault
    assert len(ended) == 1
    assert is_gone(ended[0])


def test_a_given_server_that_is_gone_is_said(tmp_path):
    made = config(tmp_path, policies=("standing",), port=any_free_port())
    with pytest.raises(ServerError, match="No CARLA server answers"):
        evaluate(made)


def test_an_evaluation_ends_with_a_report(whole):
    words = (whole.out / "report.html").read_text()
    assert "leaderboard-2.1" in words
    assert 'class="map"' in words
    assert 'href="leaderboard/expert.json"' in words


def test_every_drive_leaves_its_event_log(whole):
    for name, result in results(whole).items():
        log = read_log(whole.out / "drives" / f"{name}.jsonl")
        assert log.result == result
        assert [(e.cause, e.time_s) for e in log.events] == [
            (e.cause, e.time_s) for e in result.events
        ]
        way = log.ticks
        assert np.hypot(*(log.route[0] - way.values[0, 3:5])) < 3.0
        length = np.hypot(*np.diff(log.route, axis=0).T).sum()
        assert length == pytest.approx(result.length_m, rel=0.02)
        assert len(way) == result.decisions + 1
        assert round(float(way.column("progress_m")[-1]), 3) == result.progress_m
        assert float(way.column("outside_m")[-1]) == result.outside_m
        speed = np.abs(way.column("speed_mps")[1:]).mean()
        assert speed == pytest.approx(result.mean_speed_mps, abs=1e-3)
        assert np.isfinite(way.column("acceleration_ahead_mps2")).all()
        assert set(way.actor("is_walker").tolist()) <= {0.0}
        assert np.hypot(way.actor("half_length_m"), way.actor("half_width_m")).min() > 0.5
    assert not list((whole.out / "drives").rglob("*.part"))


def test_a_log_knows_the_routes_first_junction(whole):
    log = read_log(whole.out / "drives" / "expert" / "Dream07-1-000-0.jsonl")
    town = carla.Map("Dream07", load_town("Dream07").xodr)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(log.route, axis=0).T))])
    places = [carla.Location(x=x, y=-y) for x, y in log.route]
    in_junction = np.array([town.get_waypoint(place).is_junction for place in places])
    assert in_junction.any()
    assert 0.0 <= arc[in_junction.argmax()] - log.first_junction_m < 2.5


def test_a_log_tells_the_lane_and_the_side_of_the_road(whole):
    way = read_log(whole.out / "drives" / "expert" / "Dream07-1-000-0.jsonl").ticks
    town = carla.Map("Dream07", load_town("Dream07").xodr)
    lanes = np.column_stack([way.column("road_id"), way.column("lane_id")])
    below = [
        town.get_waypoint(carla.Location(x=x, y=-y))
        for x, y in zip(way.column("x"), way.column("y"), strict=True)
    ]
    assert lanes.tolist() == [[point.road_id, point.lane_id] for point in below]
    assert len(np.unique(lanes, axis=0)) > 2
    # The expert keeps to its side on this route, on which nothing blocks its lane.
    outside = [not point.is_junction for point in below]
    heading = np.cos(way.column("lane_yaw_rad") - way.column("yaw_rad"))
    assert heading[outside].min() > 0.5


def test_a_recorded_acceleration_is_the_change_of_speed(whole):
    way = read_log(whole.out / "drives" / "expert" / "Dream07-1-000-0.jsonl").ticks
    ahead, speed = way.column("acceleration_ahead_mps2"), way.column("speed_mps")
    change = np.gradient(speed, way.tick_s)
    assert np.corrcoef(ahead[2:], change[2:])[0, 1] > 0.8


def test_logs_score_as_results_do(whole):
    for name, result in results(whole).items():
        log = read_log(whole.out / "drives" / f"{name}.jsonl")
        for scorer in set(MODULES) - {ABILITIES}:
            assert 0.0 <= find_scorer(scorer).score(log).value <= 100.0
        scored = find_scorer("leaderboard-2.1").score(log)
        assert (scored.value, scored.terms["penalty"]) == (
            score(result).driving_score, score(result).penalty,
        )  # fmt: skip


MIXED = """<routes><route id="a" town="{town}">
  <waypoints><position x="{a.x}" y="{a.y}" z="0"/><position x="{b.x}" y="{b.y}" z="0"/></waypoints>
  <scenarios><scenario name="Odd_1" type="NoSuchType">
    <trigger_point x="{a.x}" y="{a.y}" z="0" yaw="0"/></scenario></scenarios></route></routes>"""


def test_routes_of_a_file_on_a_town_of_a_file(tmp_path, capsys):
    xodr = tmp_path / "Village.xodr"
    xodr.write_text(load_town("Dream07").xodr)
    lanes = carla.Map("Village", xodr.read_text()).generate_waypoints(20.0)
    start = next(p for p in lanes if len(p.next(60.0)) == 1 and not p.next(60.0)[0].is_junction)
    places = {"a": start.transform.location, "b": start.next(60.0)[0].transform.location}
    path = tmp_path / "routes.xml"
    path.write_text(MIXED.format(town="Village", **places))
    fields = {"policies": ("expert",), "routes": path, "maps": (xodr,)}
    with pytest.raises(ConfigError, match=r"no scenario type 'NoSuchType'.*skip-unknown"):
        evaluate(config(tmp_path / "out", **fields))
    made = config(tmp_path / "out", **fields, skip_unknown_scenarios=True)
    with pytest.raises(ConfigError, match=r"no town 'Village'.*--maps, or one of Dream01"):
        evaluate(replace(made, maps=()))
    assert not (made.out / "run.json").exists()
    capsys.readouterr()
    evaluate(made)
    assert "Left out 1 scenarios of unknown types: 1 NoSuchType" in capsys.readouterr().out
    (result,) = results(made).values()
    assert (result.town, result.route, result.cause) == ("Village", "a", "route_finished")
    path.write_text(path.read_text().replace('id="a"', 'id="a" '))
    chosen_routes.cache_clear()
    with pytest.raises(ConfigError, match="under other conditions"):
        evaluate(made)
