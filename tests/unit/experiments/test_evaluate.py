import json
from dataclasses import replace

import pytest

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.drive_jobs import Conditions
from dreamdrive.experiments.drive_pool import DrivePool
from dreamdrive.experiments.drives import Trial, drive_path, load_drive, save_drive
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate, plan
from dreamdrive.experiments.policies import fingerprint
from dreamdrive.experiments.summary import groups_of, show, summarise, table_of, warnings_of
from support.drives import CONDITIONS, drive

POLICIES = ("standing", "straight", "a#0=random", "a#1=random")


def config(tmp_path, **fields):
    return EvaluateConfig(
        **{
            "policies": POLICIES, "towns": ("Dream07", "Dream08"), "routes_per_town": 2,
            "seeds": (0, 1), "conditions": CONDITIONS, "videos": 0, "workers": 0,
            "bootstrap_samples": 200, "out": tmp_path / "out",
        }
        | fields
    )  # fmt: skip


def result_of(job):
    """Returns a result that depends on the job alone."""
    completion = 10.0 * len(job.policy.name) + 5.0 * job.index + job.seed
    causes = ["collision_vehicle"] if job.policy.name == "straight" else []
    return drive(
        job.policy.name, job.route, job.seed, completion, causes, town=job.town,
        repetition=job.repetition,
        spec=job.policy.spec, fingerprint=job.fingerprint,
    )  # fmt: skip


@pytest.fixture
def pretended(monkeypatch):
    """Replaces driving by `result_of`; returns the jobs that were driven."""
    driven = []

    def drive_all(pool, jobs):
        for job in jobs:
            driven.append(job)
            yield result_of(job)

    monkeypatch.setattr(DrivePool, "drive", drive_all)
    return driven


def without_facts(path):
    summary = json.loads(path.read_text())
    del summary["facts"]
    return summary


def test_every_policy_drives_the_same_routes_and_seeds(tmp_path):
    jobs = plan(config(tmp_path))
    by_policy = {}
    for job in jobs:
        by_policy.setdefault(job.policy.name, []).append((job.town, job.route, job.seed))
    assert list(by_policy) == ["standing", "straight", "a#0", "a#1"]
    assert len({tuple(drives) for drives in by_policy.values()}) == 1
    assert by_policy["standing"][0] == ("Dream07", "Dream07-1-000", 0)
    assert len(set(by_policy["standing"])) == 8
    towns = [job.town for job in jobs]
    assert towns == sorted(towns)


def test_the_first_drives_of_each_policy_are_filmed(tmp_path):
    films = [job for job in plan(config(tmp_path, videos=3)) if job.video]
    assert len(films) == 3 * 4
    assert {(job.route, job.seed) for job in films} == {
        ("Dream07-1-000", 0), ("Dream07-1-000", 1), ("Dream07-1-001", 0),
    }  # fmt: skip


def test_repetitions_are_drives_of_their_own(tmp_path, pretended):
    made = config(tmp_path, policies=("standing",), routes_per_town=1, repetitions=3)
    jobs = plan(made)
    assert [(job.town, job.seed, job.repetition) for job in jobs] == [
        (town, seed, repetition)
        for town in made.towns
        for seed in (0, 1)
        for repetition in (0, 1, 2)
    ]
    assert len({job.log for job in jobs} | {job.policy_seed for job in jobs}) == 24
    first = plan(config(tmp_path, policies=("standing",), routes_per_town=1))
    assert [job for job in jobs if not job.repetition] == first
    evaluate(config(tmp_path, policies=("standing",), routes_per_town=1))
    assert len(pretended) == 4
    evaluate(made)
    assert pretended[4:] == [job for job in jobs if job.repetition]
    summary = json.loads((made.out / "summary.json").read_text())
    assert (summary["repetitions"], summary["policies"]["standing"]["num_drives"]) == (3, 12)
    assert [row["repetition"] for row in summary["routes"]] == [0, 1, 2] * 4
    scores = json.loads((made.out / "scores.json").read_text())["drives"]
    assert [drive["repetition"] for drive in scores] == [0, 1, 2] * 4
    board = json.loads((made.out / "leaderboard" / "standing.json").read_text())
    ids = [record["route_id"] for record in board["_checkpoint"]["records"]]
    assert ids[:6] == [f"RouteScenario_0_rep{number}" for number in range(6)]
    assert table_of(summary).title == (
        "leaderboard-2.1: 2 routes x 2 seeds x 3 repetitions, 95 % intervals"
    )


def test_a_result_comes_back_from_disk_as_it_was(tmp_path):
    result = drive(causes=["red_light", "off_road"], sim_errors=("once",))
    save_drive(tmp_path, result)
    assert load_drive(drive_path(tmp_path, "p", result.key)) == result


def test_an_interrupted_evaluation_ends_as_an_unbroken_one(tmp_path, pretended, monkeypatch):
    whole = evaluate(config(tmp_path, out=tmp_path / "whole"))
    unbroken = without_facts(whole / "summary.json")
    pretended.clear()
    part = config(tmp_path)
    for job in plan(part)[:13]:
        save_drive(part.out, result_of(job))
    cut_short = drive_path(part.out, "straight", ("Dream07-1-000", Trial(1)))
    cut_short.write_text(cut_short.read_text()[:100])
    evaluate(part)
    assert len(pretended) == 32 - 13 + 1
    assert without_facts(part.out / "summary.json") == unbroken
    pretended.clear()
    evaluate(part)
    assert pretended == []
    assert without_facts(part.out / "summary.json") == unbroken


def test_more_policies_and_seeds_may_follow(tmp_path, pretended):
    evaluate(config(tmp_path, policies=("standing",), seeds=(0,)))
    assert len(pretended) == 4
    pretended.clear()
    evaluate(config(tmp_path, policies=("standing", "straight"), seeds=(0, 1)))
    assert len(pretended) == 16 - 4


def test_a_changed_policy_drives_again_and_others_do_not(tmp_path, pretended):
    made = config(tmp_path, policies=("standing", "straight"))
    evaluate(made)
    pretended.clear()
    for job in plan(made)[:2]:
        save_drive(made.out, replace(result_of(job), fingerprint="older"))
    evaluate(made)
    assert sorted(job.policy.name for job in pretended) == ["standing", "straight"]
    assert fingerprint("standing") == pretended[0].fingerprint


def test_a_drive_that_the_server_ended_is_made_again(tmp_path, pretended):
    made = config(tmp_path, policies=("standing",))
    evaluate(made)
    pretended.clear()
    lost = plan(made)[3]
    save_drive(made.out, replace(result_of(lost), cause="sim_error"))
    evaluate(made)
    assert pretended == [lost]


def test_a_missing_film_is_made(tmp_path, pretended):
    evaluate(config(tmp_path, policies=("standing",)))
    pretended.clear()
    evaluate(config(tmp_path, policies=("standing",), videos=1))
    assert [job.index for job in pretended] == [0]


def test_other_conditions_do_not_mix(tmp_path, pretended):
    evaluate(config(tmp_path))
    with pytest.raises(ConfigError, match="other conditions"):
        evaluate(config(tmp_path, conditions=Conditions(num_vehicles=3)))


def test_the_summary_holds_the_scores(tmp_path, pretended):
    out = evaluate(config(tmp_path))
    summary = json.loads((out / "summary.json").read_text())
    assert summary["scorer"] == "leaderboard-2.1"
    policies = summary["policies"]
    assert list(policies) == ["standing", "straight", "a", "a#0", "a#1"]
    straight = policies["straight"]["measures"]
    assert straight["completion_pct"]["value"] == pytest.approx(83.0)
    assert straight["driving_score"]["value"] == pytest.approx(83.0 / 1.7)
    assert straight["collision_per_km"]["value"] == pytest.approx(1.0 / 0.83)
    low, high = (straight["driving_score"][key] for key in ("low", "high"))
    assert low < 83.0 / 1.7 < high
    assert (policies["a"]["num_runs"], policies["a"]["num_drives"]) == (2, 16)
    assert policies["a#0"]["run_of"] == "a"
    assert [(pair["a"], pair["b"]) for pair in summary["pairs"]] == [
        ("straight", "standing"), ("a", "standing"), ("a", "straight"),
    ]  # fmt: skip
    gain = summary["pairs"][0]["measures"]["completion_pct"]
    assert gain["value"] == pytest.approx(0.0)
    row = summary["routes"][0]
    assert (row["route"], row["seed"]) == ("Dream07-1-000", 0)
    assert row["policies"]["straight"]["completion_pct"] == pytest.approx(80.0)
    assert row["policies"]["a#1"]["cause"] == "blocked"


def test_server_deaths_are_counted_and_not_scored(tmp_path):
    made = config(tmp_path, policies=("standing", "straight"))
    drives = {"standing": [], "straight": []}
    for job in plan(made):
        drives[job.policy.name].append(result_of(job))
    before = summarise(made, drives)["policies"]["standing"]
    drives["standing"][0] = replace(drives["standing"][0], cause="sim_error", progress_m=0.0)
    after = summarise(made, drives)["policies"]["standing"]
    assert (after["num_sim_errors"], after["num_drives"]) == (1, 7)
    assert (
        after["measures"]["completion_pct"]["value"] > before["measures"]["completion_pct"]["low"]
    )
    assert "sim_error" not in after["causes"]
    (warning,) = warnings_of(summarise(made, drives))
    assert "in no mean: standing 1 drives" in warning
    drives["standing"][0] = result_of(plan(made)[0])
    assert warnings_of(summarise(made, drives)) == []


def test_what_ended_a_policys_program_is_said_and_no_time_is_told_of_one_that_hung(tmp_path):
    made = config(tmp_path, policies=("straight",))
    drives = [result_of(job) for job in plan(made)]
    hung = {"cause": "policy_timeout", "policy_fault": "Traceback\nno action within 9 s"}
    drives[1] = replace(drives[1], **hung, ms_per_decision=0.0)
    summary = summarise(made, {"straight": drives})
    assert warnings_of(summary) == [
        f"straight: its program ended 1 of {len(drives)} drives, which count as far as they came. "
        "The first: no action within 9 s"
    ]
    told = summary["policies"]["straight"]["measures"]["ms_per_decision"]["value"]
    assert told == pytest.approx(drives[0].ms_per_decision)
    drives = [replace(drive, ms_per_decision=0.0) for drive in drives]
    told = summarise(made, {"straight": drives})["policies"]["straight"]["measures"]
    assert told["ms_per_decision"]["value"] is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"policies": ()}, "nothing to evaluate"),
        ({"routes_per_town": 0}, "nothing to evaluate"),
        ({"policies": ("runs/a/policy", "runs/b/policy")}, r"called 'policy'.*NAME=SPEC"),
        ({"seeds": (1, 1)}, "differ"),
        ({"workers": -1}, "negative"),
        ({"bootstrap_samples": 10}, "at least 100"),
    ],
)
def test_impossible_configurations_are_refused(tmp_path, fields, words):
    with pytest.raises(ConfigError, match=words):
        config(tmp_path, **fields)


def test_an_unknown_policy_is_said_before_anything_is_driven(tmp_path, pretended):
    with pytest.raises(ConfigError, match="clever"):
        evaluate(config(tmp_path, policies=("standing", "clever")))
    assert pretended == []
    assert not (tmp_path / "out").exists()


def test_groups_and_text(tmp_path):
    made = config(tmp_path)
    assert groups_of(made.named) == {
        "standing": ["standing"], "straight": ["straight"], "a": ["a#0", "a#1"],
    }  # fmt: skip
    from dreamdrive.experiments.scores import Interval

    assert show(Interval(value=1.25, low=1.0, high=1.5), 1) == "1.2 [1.0, 1.5]"
    assert show(Interval(value=2.0, low=None, high=None), 0) == "2"
    assert show(Interval(value=None, low=None, high=None), 2) == "–"  # noqa: RUF001


def test_the_time_limit_grows_with_the_route():
    conditions = Conditions(time_limit_s=60.0, time_limit_s_per_m=0.4)
    assert conditions.max_decisions(100.0) == 1000
    assert conditions.digest != Conditions(num_walkers=1).digest
    assert conditions.digest == Conditions().digest
    assert conditions.digest != Conditions(road_hazards=True).digest
    assert Conditions().digest == "f0baede398dc"


def test_scorers_are_asked_for_and_print_their_tables(tmp_path, pretended, capsys):
    evaluate(config(tmp_path))
    alone = capsys.readouterr().out
    assert "means" not in alone
    out = evaluate(config(tmp_path, scorers=("leaderboard-2.1", "leaderboard-1.0")))
    printed = capsys.readouterr().out
    assert "leaderboard-1.0: means, 95 % intervals" in printed
    assert printed.count("leaderboard-2.1") == alone.count("leaderboard-2.1")
    scores = json.loads((out / "scores.json").read_text())["scorers"]
    summary = json.loads((out / "summary.json").read_text())["policies"]
    for policy, facts in scores["leaderboard-2.1"]["policies"].items():
        assert facts["terms"]["value"] == summary[policy]["measures"]["driving_score"]
    assert {path.stem for path in (out / "leaderboard").iterdir()} == {
        "standing", "straight", "a#0", "a#1",
    }  # fmt: skip


def test_an_unknown_scorer_is_said_before_anything_is_driven(tmp_path, pretended):
    with pytest.raises(ConfigError, match="clever"):
        evaluate(config(tmp_path, scorers=("clever",)))
    assert pretended == []
