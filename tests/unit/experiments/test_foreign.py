"""Programs of others are judged by what they do; stand-ins take their place here."""

import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET

import pytest

from dreamdrive.experiments import foreign, foreign_run
from dreamdrive.experiments.foreign_programs import LEFT_OUT, PROGRAMS, Program

pytest.importorskip("carla")


@pytest.fixture
def server():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


@pytest.fixture
def judge(tmp_path, server):
    """Runs a program that is written down here, and returns its outcome."""

    def run(text, **fields):
        (tmp_path / "one.py").write_text(text)
        place = foreign_run.Place(
            out=tmp_path, python=sys.executable, carla=tmp_path, leaderboard=None,
            scenario_runner=None,
        )  # fmt: skip
        return foreign_run.run(Program(script="one.py", **fields), place, server)

    return run


def test_a_program_works_if_it_prints_and_writes_what_it_should(judge):
    text = "import sys; print('spawned 7 cars'); open(sys.argv[1] + '/a.png', 'w')"
    found = judge(
        text, arguments=("{out}",), prints=(r"(spawned \d+) cars",), writes=("*.png",)
    )  # fmt: skip
    assert (found.verdict, found.notes) == ("works", ["spawned 7"])


@pytest.mark.parametrize(
    ("text", "fields", "notes"),
    [
        ("raise RuntimeError('no such town')", {},
         ["ended with status 1", "RuntimeError: no such town"]),
        ("print('nothing')", {"prints": ("done",)}, ["does not print 'done'"]),
        ("", {"writes": ("*.rec",)}, ["does not write *.rec"]),
        ("", {"interrupted_s": 5.0}, ["ended before it was interrupted"]),
        ("import os; os.abort()", {}, ["ended with status -6"]),
        ("", {"refused": "no bones"}, ["was not told 'no bones'"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_noted(judge, text, fields, notes):
    found = judge(text, **fields)
    assert (found.verdict, found.notes) == ("fails", notes)


def test_a_refusal_that_is_stated_is_no_failure(judge):
    found = judge("raise RuntimeError('there are no bones here')", refused="no bones")
    assert (found.verdict, found.notes) == ("refused", ["no bones"])


def test_a_program_without_an_end_is_interrupted(judge):
    text = (
        "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('ended well')"
    )
    found = judge(text, interrupted_s=1.0, prints=("begun", "(ended well)"))
    assert (found.verdict, found.notes) == ("works", ["ended well"])
    assert found.seconds < 10.0


def test_a_server_that_ends_is_the_programs_failure(judge, server):
    server.communicate()
    assert judge("").notes == ["the server ended"]


def test_the_record_keeps_what_was_not_run_again_and_names_what_never_is():
    first = [foreign_run.Outcome(program, "fails", 3.0, ["x"]) for program in PROGRAMS[:2]]
    again = foreign_run.Outcome(PROGRAMS[1], "works", 12.4, ['a "note"'])
    before = foreign.record(first, "Town01", sources="Of May.")
    kept = tomllib.loads(foreign.record([again], "Town01", before))
    assert kept["town"] == "Town01"
    assert kept["sources"] == "Of May."
    later = tomllib.loads(foreign.record([again], "Town01", before, "Of June."))
    assert later["sources"] == "Of June."
    verdicts = [(row["verdict"], row["notes"]) for row in kept["program"][:2]]
    assert verdicts == [("fails", ["x"]), ("works", ['a "note"'])]
    assert [row["title"] for row in kept["program"][2:]] == list(LEFT_OUT)


def test_a_flaw_of_a_programs_own_is_noted_however_it_ended():
    (program,) = [known for known in PROGRAMS if "draw_skeleton" in known.script]
    for verdict, notes in (("works", []), ("fails", ["still there"])):
        kept = tomllib.loads(
            foreign.record([foreign_run.Outcome(program, verdict, 1.0, notes)], "x")
        )
        (row,) = [row for row in kept["program"] if row["title"] == program.title]
        assert row["verdict"] == verdict
        assert row["notes"] == [*notes, program.flaw]
        assert "its own pool" in program.flaw


def test_a_folder_without_programs_is_said(tmp_path, capsys):
    assert foreign.main(["--carla", str(tmp_path)]) == 2
    assert "PythonAPI" in capsys.readouterr().err


def test_routes_for_the_leaderboard_have_a_scenario_each(tmp_path):
    foreign.save_town_routes(tmp_path / "routes.xml", "Dream03")
    routes = ET.parse(tmp_path / "routes.xml").getroot().findall("route")
    assert [route.get("town") for route in routes] == ["Dream03", "Dream03"]
    kinds = [route.find("scenarios/scenario").get("type") for route in routes]
    assert kinds == ["ControlLoss", "HardBreakRoute"]
