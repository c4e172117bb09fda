"""A report as a page: what stands on it, and that it needs nothing else."""

import html.parser
import json
import re

from dreamdrive.experiments.drives import Trial, drive_path
from dreamdrive.experiments.event_log import make_log
from dreamdrive.experiments.report import ReportConfig, report
from dreamdrive.experiments.report_evaluation import where
from dreamdrive.experiments.report_scores import scorers_table
from dreamdrive.experiments.scorers.registry import MODULES
from support.drives import drive
from support.evaluations import ROUTES, folder, made


def test_a_report_shows_drives_scores_and_links(evaluation):
    words = report(ReportConfig(run=evaluation)).read_text()
    cards = re.findall(r"<h4>(\d+)\. (\d+) of 100 points: ([\w-]+), seed 0</h4>", words)
    assert cards == [("1", "40", ROUTES[1]), ("2", "48", ROUTES[0]), ("1", "100", ROUTES[1])]
    assert words.count('class="strip"') == 4
    assert words.count('class="map"') == 3
    assert words.count('id="town-0"') == 1
    assert words.count('<details class="policy" open>') == 1
    assert "Hit a vehicle (audi tt)" in words
    for name in MODULES:
        assert f"({name})" in words
    assert 'href="leaderboard/a.json"' in words
    assert "All 3 infractions" in words
    fewer = report(ReportConfig(run=evaluation, pictures=2)).read_text()
    assert fewer.count('class="strip"') == 2
    assert report(ReportConfig(run=evaluation, pictures=0)).read_text().count('class="map"') == 0


class Whole(html.parser.HTMLParser):
    """Checks that what opens closes, and gathers ids and addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.addresses = [], [], []

    def handle_startendtag(self, tag, attrs):
        self._note(attrs)

    def handle_starttag(self, tag, attrs):
        self._note(attrs)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def _note(self, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.addresses += [value for name, value in attrs if name in ("href", "src", "poster")]


def test_a_report_is_one_small_page_that_asks_nobody(evaluation):
    path = report(ReportConfig(run=evaluation))
    page = Whole()
    page.feed(path.read_text())
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    inside = [at[1:] for at in page.addresses if at.startswith("#")]
    assert set(inside) <= set(page.ids)
    beside = [at for at in page.addresses if not at.startswith(("#", "data:"))]
    assert sorted(beside) == ["leaderboard/a.json", "leaderboard/b.json"]
    assert all((evaluation / at).is_file() for at in beside)
    assert path.stat().st_size < 200_000


def test_a_log_that_cannot_be_read_is_named_and_the_rest_is_shown(evaluation):
    drive_path(evaluation, "a", (ROUTES[0], Trial(0))).with_suffix(".jsonl").write_text("{")
    words = report(ReportConfig(run=evaluation)).read_text()
    assert "Could not be read" in words
    assert "points: Dream02-1-000" in words
    assert words.count('class="strip"') == 2


def test_an_evaluation_that_the_server_ended_is_reported_too(tmp_path):
    lost = [
        drive(name, route, cause="sim_error", completion=0.0, length_m=0.0, sim_errors=("died",))
        for name in "ab"
        for route in ROUTES
    ]
    folder(tmp_path, [make_log(result, []) for result in lost])
    words = report(ReportConfig(run=tmp_path)).read_text()
    assert "4 drives: 4 lost to the simulator" in words
    assert "(2 drives lost to the simulator)" in words


def test_one_policy_that_drives_well_needs_neither_pairs_nor_a_legend(tmp_path):
    logs = [made(policy="a", route=route, town="Dream02") for route in ROUTES]
    words = report(ReportConfig(run=folder(tmp_path, logs, names=("a",)))).read_text()
    assert "2 drives, nothing wrong" in words
    assert "Paired differences" not in words
    assert 'class="legend"' not in words


def test_what_was_driven_is_told_as_it_was(evaluation):
    summary = json.loads((evaluation / "summary.json").read_text())
    conditions = summary["conditions"]
    assert "2 frozen routes of 1000 m in Dream02, 1 traffic seed each" in where(summary)
    summary["routes"][0]["length_m"] = 161.2
    assert "of 161 to 1000 m" in where(summary)
    for scenarios, route_file, told in (
        ([], "", "without scenarios"),
        (["none"], "digest", "without scenarios"),
        (["all"], "", "up to 2 scenarios a route;"),
        (["ParkingCutIn"], "", "up to 2 scenarios a route of the types ParkingCutIn;"),
        ([], "digest", "the scenarios of the routes' file;"),
    ):
        conditions |= {"scenarios": scenarios, "route_file": route_file}
        assert told in where(summary)


def test_every_number_of_a_scorer_has_its_version_beside_it(evaluation):
    words = scorers_table(json.loads((evaluation / "scores.json").read_text()))
    head = re.findall(r"<th>(.*?)</th>", words.split("</thead>")[0])
    assert [re.search(r"\((.*)\)", name)[1] for name in head] == list(MODULES)
    assert "bench2drive-0.0.3 divides sums by 220 routes" in words
    assert "Not measured" not in words


def test_what_nobody_looked_for_is_said_once(evaluation):
    scores = json.loads((evaluation / "scores.json").read_text())
    for name in ("leaderboard-2.0", "leaderboard-2.1"):
        scores["scorers"][name]["policies"]["a"]["not_measured"] = ["min_speed"]
    told = (
        "Not measured, so that it costs nothing in leaderboard-2.0, leaderboard-2.1: "
        "too slow for the traffic."
    )
    assert told in scorers_table(scores)
