import json
import re

import numpy as np
import pytest

from dreamdrive.errors import ConfigError, NotMeasuredError
from dreamdrive.experiments.compare import CompareConfig, compare
from dreamdrive.experiments.drives import save_drive
from dreamdrive.experiments.pairing import is_real, pair, read_side, sentence
from dreamdrive.experiments.scorers.registry import find_scorers
from dreamdrive.experiments.scores import Interval
from support.drives import drive

SCORERS = find_scorers(("leaderboard-2.1", "leaderboard-1.0"))


def folder(tmp_path, name, drives):
    for made in drives:
        save_drive(tmp_path / name, made)
    return str(tmp_path / name)


def routes(completions, policy="p", **fields):
    return [
        drive(policy, f"T-1-{i:03d}", completion=float(c), **fields)
        for i, c in enumerate(completions)
    ]


def compared(a, b, **options):
    return pair(read_side(a, SCORERS), read_side(b, SCORERS), SCORERS, samples=200, **options)


@pytest.fixture
def two(tmp_path):
    hard = np.linspace(20.0, 80.0, 12)
    better = [*(hard[:-1] + 6.0), hard[-1] - 3.0]
    return folder(tmp_path, "a", routes(better)), folder(tmp_path, "b", routes(hard, "q"))


def test_a_real_difference_is_told_in_one_sentence(two):
    found = compared(*two)
    assert found["is_real"]
    assert found["differences"]["leaderboard-2.1"]["value"] == pytest.approx(63.0 / 12.0)
    assert found["differences"]["completion_pct"]["value"] == pytest.approx(63.0 / 12.0)
    assert re.fullmatch(
        r"leaderboard-2\.1: p minus q is \+5\.25 \[\+\d\.\d\d, \+\d\.\d\d\] on 12 routes: "
        r"the difference is real, p is better\.",
        found["sentence"],
    )
    assert compared(*two[::-1])["sentence"].endswith("real, p is better.")


def test_routes_won_and_the_worst_drives(two):
    found = compared(*two, worst=3)
    assert found["won_pct"] == pytest.approx(100.0 * 11 / 12)
    assert found["lost_pct"] == pytest.approx(100.0 / 12)
    assert [row["route"] for row in found["worst"]] == ["T-1-011", "T-1-000", "T-1-001"]
    assert found["worst"][0]["a"] == pytest.approx(77.0)
    assert found["worst"][0]["b_ended"] == "blocked"


def test_no_difference_is_not_called_real(tmp_path):
    values = [40.0, 60.0, 80.0, 50.0, 45.0, 70.0]
    a = folder(tmp_path, "a", routes(values))
    b = folder(tmp_path, "b", routes(values[::-1]))
    found = compared(a, b)
    assert not found["is_real"]
    assert "no real difference is shown" in found["sentence"]
    assert "no real difference" in compared(a, a)["sentence"]
    assert (compared(a, a)["won_pct"], compared(a, a)["lost_pct"]) == (0.0, 0.0)


def test_one_route_is_too_few_and_so_are_five(tmp_path):
    for num, words in ((1, "1 route"), (5, "5 routes")):
        a, b = (folder(tmp_path, f"{n}{num}", routes([c] * num)) for n, c in (("a", 50), ("b", 40)))
        found = compared(a, b)
        assert f"+10.00 on {words}, too few to say whether it is real: 6" in found["sentence"]
        assert not found["is_real"]


def test_what_random_swaps_make_often_is_not_called_real(tmp_path, capsys):
    gains = (20.0, 20.0, 20.0, 20.0, 20.0, -1.0)
    a = folder(tmp_path, "a", routes([50.0 + gain for gain in gains]))
    b = folder(tmp_path, "b", routes([50.0] * 6, "q"))
    found = compared(a, b)
    assert found["chances"]["leaderboard-2.1"] == found["chances"]["completion_pct"] == 4.0 / 64.0
    assert not found["is_real"]
    assert "no real difference is shown, since" in found["sentence"]
    compare(CompareConfig(a=a, b=b, bootstrap_samples=200))
    assert "yes" not in capsys.readouterr().out


def test_interval_and_swaps_decide_together():
    apart, touching = (Interval(value=5.0, low=low, high=9.0) for low in (1.0, -1.0))
    told = [sentence("a", "b", SCORERS[0], *facts) for facts in (
        (apart, 12, 0.01), (apart, 12, 0.07), (touching, 12, 0.01),
    )]  # fmt: skip
    assert told[0].endswith("on 12 routes: the difference is real, a is better.")
    assert told[1].endswith("swapping the two at random on each route makes one as large in 7 % "
                            "of cases.")  # fmt: skip
    assert told[2].endswith("no real difference is shown, since the 95 % interval holds zero.")
    assert not is_real(apart, None)


def test_policies_are_named_where_a_folder_holds_several(tmp_path):
    drives = [d for n in ("a#0", "a#1", "b") for d in routes([40.0, 60.0], n)]
    both = folder(tmp_path, "both", drives)
    assert len(read_side(f"{both}:a", SCORERS).runs) == 2
    assert len(read_side(f"{both}:a#1", SCORERS).runs) == 1
    for text, words in ((both, "Several policies.*known: a, b, a#0"), (f"{both}:c", "'c'.*known")):
        with pytest.raises(ConfigError, match=words):
            read_side(text, SCORERS)
    with pytest.raises(ConfigError, match="No drives"):
        read_side(str(tmp_path / "none"), SCORERS)


def test_only_what_both_drove_is_compared(tmp_path):
    a = folder(tmp_path, "a", [*routes([40.0, 60.0]), drive(route="x", completion=0.0)])
    b = folder(tmp_path, "b", [*routes([30.0, 50.0]), drive(route="y", completion=100.0)])
    found = compared(a, b)
    assert (found["num_pairs"], found["differences"]["leaderboard-2.1"]["value"]) == (2, 10.0)


def test_what_cannot_be_paired_is_refused(tmp_path):
    a, b = folder(tmp_path, "a", [drive(route="x")]), folder(tmp_path, "b", [drive(route="y")])
    with pytest.raises(ConfigError, match=r"no route and seed in common.*--seeds"):
        compared(a, b)
    c = folder(tmp_path, "c", [drive(route="x", conditions="other")])
    with pytest.raises(ConfigError, match="different conditions"):
        compared(a, c)
    with pytest.raises(NotMeasuredError, match=r"nuplan-comfort can score no drive.*every tick"):
        compare(CompareConfig(a=a, b=a, scorers=("nuplan-comfort",)))
    with pytest.raises(ConfigError, match="worst"):
        CompareConfig(a=a, b=b, worst=-1)


def test_the_command_prints_and_writes(two, tmp_path, capsys):
    out = tmp_path / "c.json"
    config = CompareConfig(a=two[0], b=two[1], bootstrap_samples=200, out=out)
    assert compare(config) == out
    printed = capsys.readouterr().out
    told = json.loads(out.read_text())
    assert told["sentence"] in printed
    assert "Of 12 routes (leaderboard-2.1), p won 92 %, q 8 %; 0 % were even." in printed
    assert "Collisions, 1/km" in printed
    assert len(told["worst"]) == 10
