import html.parser
import json

import imageio.v2 as imageio
import numpy as np
import pytest

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.evaluate import EvaluateConfig, plan
from dreamdrive.experiments.report import ReportConfig, collect_findings, command_line, report
from dreamdrive.experiments.report_plots import smooth
from dreamdrive.experiments.report_truth import models_of, truth_section
from dreamdrive.experiments.summary import summarise
from dreamdrive.experiments.video import PANEL, RED, SCALE, Caption, Film, compose
from support.drives import drive

VOID = {"meta", "img", "br", "line", "circle"}


class Balanced(html.parser.HTMLParser):
    """Checks that every tag that opens closes, and gathers text and addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.sources = [], [], []

    def handle_starttag(self, tag, attrs):
        self.sources += [v for k, v in attrs if k in ("src", "poster", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(path):
    parser = Balanced()
    parser.feed(path.read_text())
    assert parser.open == []
    return " ".join(parser.words), parser.sources


def film(path, frames=6):
    view = np.zeros((64, 64, 3), np.uint8)
    with Film(path) as made:
        for i in range(frames):
            caption = Caption(policy="p", route="r", time_s=i / 10, speed_mps=1.0, progress=0.5)
            made.add(compose(view, caption))
        made.keep()


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "demo"
    out = folder / "evaluate"
    config = EvaluateConfig(
        policies=("standing", "agent=straight", "pair#0=random", "pair#1=random"),
        towns=("T",), routes_per_town=3, bootstrap_samples=200, out=out,
    )  # fmt: skip
    completion = {"standing": 0.0, "agent": 73.5, "pair#0": 20.0, "pair#1": 40.0}
    drives = {}
    for job in plan(config):
        name = job.policy.name
        causes = ["collision_walker"] if name == "agent" else []
        made = drive(name, job.route, job.seed, completion[name], causes, town="T")
        drives.setdefault(name, []).append(made)
    out.mkdir(parents=True)
    (out / "summary.json").write_text(json.dumps(summarise(config, drives)))
    (out / "metrics.jsonl").write_text('{"step": 1, "score": 1.0}\n{"step": 2, "score": 2.0}\n')
    (out / "run.json").write_text(
        json.dumps(
            {
                "command": "EvaluateConfig", "git": "abc123", "versions": {"torch": "9.9"},
                "config": {"policies": ["a", "b=<c>"], "port": None, "conditions": {"walkers": 3}},
            }
        )
    )  # fmt: skip
    film(out / "videos" / "agent" / "T-1-000-0.mp4")
    film(folder / "dream" / "dream.mp4")
    (folder / "dream" / "dream.gif").write_bytes(b"the same again")
    lines = [{"step": i, "time_s": 0.1 * i, "flow_loss": 1.0 / i} for i in range(1, 50)]
    (folder / "worldmodel").mkdir()
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 50, "flo'
    (folder / "worldmodel" / "metrics.jsonl").write_text(text)
    (folder / "worldmodel" / "truth.json").write_text(
        json.dumps(
            {
                name: {"psnr_gain_5": gain, "vehicle_psnr_5": psnr, "vehicle_psnr_copy_5": 11.9}
                for name, gain, psnr in (("trained", 5.71, 14.7), ("untrained", 0.02, 9.1))
            }
        )
    )  # fmt: skip
    return folder


def test_the_report_holds_the_numbers_and_needs_no_other_file(run_folder):
    path = report(ReportConfig(run=run_folder))
    assert path == run_folder / "report.html"
    words, sources = read(path)
    for number in ("73.5", "36.8", "30.0", "leaderboard-2.1", "2 training runs", "5.7", "14.7"):
        assert number in words, number
    assert "abc123" in words
    assert "torch 9.9" in words
    assert "flow loss" not in words
    assert "worldmodel: 49 lines, to step 49" in words
    assert "evaluate: 2 lines" not in words
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "<script" not in path.read_text()


def test_films_that_do_not_fit_are_linked(run_folder, tmp_path):
    path = report(ReportConfig(run=run_folder, out=tmp_path / "page.html", embed_mib=0.0))
    _, sources = read(path)
    linked = [source for source in sources if not source.startswith("data:")]
    assert len(linked) == 2
    assert all((path.parent / source).is_file() for source in linked)


def test_several_evaluations_stand_beside_each_other(run_folder, tmp_path):
    for name in ("round-0", "round-1"):
        (tmp_path / name).mkdir()
        summary = (run_folder / "evaluate" / "summary.json").read_text()
        (tmp_path / name / "summary.json").write_text(summary)
    words, _ = read(report(ReportConfig(run=tmp_path)))
    assert "Driving score in each evaluation" in words
    assert "Closed loop: round-1" in words


def test_names_cannot_break_the_page(run_folder, tmp_path):
    summary = json.loads((run_folder / "evaluate" / "summary.json").read_text())
    summary["policies"] = {
        name.replace("agent", "<script>&"): facts for name, facts in summary["policies"].items()
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    path = report(ReportConfig(run=tmp_path, title="<i>"))
    words, _ = read(path)
    assert "<script>&" in words
    assert "<script" not in path.read_text()


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(run_folder, tmp_path):
    (tmp_path / "summary.json").write_text((run_folder / "evaluate" / "summary.json").read_text())
    (tmp_path / "truth.json").write_text('{"trained": {"psnr')
    words, _ = read(report(ReportConfig(run=tmp_path)))
    assert "Could not be read" in words
    assert "73.5" in words


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(ConfigError, match="nothing to report"):
        report(ReportConfig(run=tmp_path))
    with pytest.raises(ConfigError, match="no such folder"):
        report(ReportConfig(run=tmp_path / "absent"))


def test_findings(run_folder):
    found = collect_findings(run_folder)
    assert [path.parent.name for path in found.evaluations] == ["evaluate"]
    assert [path.parent.name for path in found.curves] == ["worldmodel"]
    assert [path.name for path in found.dreams] == ["dream.mp4"]
    assert found.broken == []


def test_the_command_can_be_typed_again(run_folder):
    run = json.loads((run_folder / "evaluate" / "run.json").read_text())
    line = command_line(run)
    assert line == "dreamdrive evaluate --policies a b=<c> --conditions.walkers 3"
    assert command_line({"command": "X", "config": {"on": True, "a": {"off": False}}}) == (
        "dreamdrive X --on --a.no-off"
    )


def test_truth_is_told_by_target():
    shown = truth_section("t", {"good": {"psnr_gain_5": 5.1}, "poor": {"psnr_gain_5": 4.9}})
    assert 'class="good">5.1<' in shown
    assert 'class="bad">4.9<' in shown
    copy = {"vehicle_psnr_15": 9.0, "vehicle_psnr_copy_15": 9.5}
    assert 'class="bad">9.0<' in truth_section("t", {"m": copy})
    assert models_of({"psnr_gain_5": 1.0, "note": "x"}) == {"model": {"psnr_gain_5": 1.0}}
    assert models_of({"models": {"a": {"x": 1}}, "seed": 3}) == {"a": {"x": 1.0}}


def test_smoothing_keeps_constants_and_length():
    np.testing.assert_allclose(smooth(np.full(200, 3.0)), 3.0)
    assert len(smooth(np.arange(7.0))) == 7


def test_a_frame_shows_the_view_and_the_events():
    view = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    quiet = Caption(policy="p", route="r", time_s=1.0, speed_mps=10.0, progress=0.2)
    frame = compose(view, quiet)
    assert frame.shape == (64 * SCALE, 64 * SCALE + PANEL, 3)
    np.testing.assert_array_equal(frame[::SCALE, : 64 * SCALE : SCALE], view)
    event = Caption(
        policy="p", route="r", time_s=1.0, speed_mps=10.0, progress=0.2, events=[(0.5, "red_light")]
    )
    changed = np.argwhere((compose(view, event) != frame).any(-1))
    assert len(changed) > 50
    assert changed[:, 1].min() >= 64 * SCALE


def test_a_frame_marks_what_has_just_happened_and_tells_the_score():
    view = np.zeros((64, 64, 3), np.uint8)

    def shown(**fields):
        told = {"policy": "p", "route": "r", "speed_mps": 1.0, "progress": 0.2} | fields
        return compose(view, Caption(**told))

    def red(frame):
        return int((frame == RED).all(-1).sum())

    fresh = shown(time_s=5.0, events=[(4.0, "collision_walker")])
    old = shown(time_s=5.0, events=[(1.0, "collision_walker")])
    assert red(fresh) > 2000 > 300 > red(old) > 0
    scored = np.argwhere((shown(time_s=5.0, score=41.0) != shown(time_s=5.0, score=97.0)).any(-1))
    assert len(scored)
    assert scored[:, 1].min() > 64 * SCALE + PANEL // 2
    many = shown(time_s=99.0, events=[(float(i), "red_light") for i in range(30)])
    assert many.shape == old.shape


def test_a_film_stands_whole_or_not_at_all(tmp_path):
    path = tmp_path / "films" / "a.mp4"
    film(path, frames=8)
    with imageio.get_reader(path) as reader:
        assert reader.count_frames() == 8
    with Film(tmp_path / "films" / "b.mp4") as dropped:
        dropped.add(np.zeros((64, 64, 3), np.uint8))
    assert [p.name for p in (tmp_path / "films").iterdir()] == ["a.mp4"]
