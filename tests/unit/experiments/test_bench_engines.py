import json
import sys

import pytest

from dreamdrive.errors import ConfigError
from dreamdrive.experiments import bench_engines as subject
from dreamdrive.experiments import bench_versions
from dreamdrive.experiments.bench_engines import BenchEnginesConfig, bench_engines, tables
from dreamdrive.experiments.bench_peers import PEERS, QUOTED, measure_peer
from dreamdrive.worldmodel.engine import FILE
from support.tiny_world import save_tiny_world


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"batches": (0,)}, "positive"),
        ({"seconds": 0.0}, "positive"),
        ({"presets": ("huge",)}, "no 'huge'"),
        ({"peers": ("dreamer5=/x",)}, "no 'dreamer5'"),
    ],
)
def test_impossible_configs_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        BenchEnginesConfig(**values)


def test_it_measures_each_way_keeps_the_fastest_and_names_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(subject, "start_seconds", lambda model: 1.0)
    monkeypatch.setattr(subject.os, "sched_setaffinity", lambda *_: None)
    world = save_tiny_world(tmp_path / "world")
    path = bench_engines(
        BenchEnginesConfig(
            out=tmp_path / "out", model=str(world), presets=("cpu",), batches=(2,), seconds=0.02,
            peers=("diamond=/nowhere", "car-racing"), peer_python=tmp_path / "no-python",
            engines=("eager", "fused"), long_steps=620,
        )
    )  # fmt: skip
    facts = json.loads(path.read_text())
    rows = {row["engine"]: row for row in facts["steps"]}
    assert set(rows) == {"eager", "fused", "fused, bfloat16"}
    for row in rows.values():
        assert row["steps_per_s"] == pytest.approx(2e3 / row["step_ms"])
        assert row["mflop"] == rows["eager"]["mflop"] > 0.1
        assert 0.0 < row["share_of_peak"] < 1.0
    assert [row["steps_per_s"] for row in facts["peers"]] == [None, None]
    assert "no-python" in facts["peers"][0]["why"]
    assert facts["quoted"][0]["why"].startswith("not measured here")
    kept = json.loads((tmp_path / "cache" / "dreamdrive" / FILE).read_text())
    measured = {key.rpartition(", ")[2]: times["fused"] for key, times in kept["steps"].items()}
    assert measured == {
        "float32": pytest.approx(rows["fused"]["step_ms"] / 1e3),
        "bfloat16": pytest.approx(rows["fused, bfloat16"]["step_ms"] / 1e3),
    }
    assert len(tables(facts)) == 2
    (alone,) = facts["matrix"]
    assert 0.0 < alone["share_of_peak"] < 1.5
    assert facts["long"]["steps"] == 620
    assert min(facts["long"]["first_ms"], facts["long"]["last_ms"]) > 0.0


def test_a_peer_that_is_not_there_says_why(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ConfigError, match=r"metadrive cannot be stepped: .*No module"):
        measure_peer("metadrive=/nowhere", 0.01)
    assert QUOTED
    assert set(PEERS) >= {"diamond", "dreamer4"}


def test_a_peer_is_stepped(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    one, many = measure_peer("torchrl-rssm", 0.05)
    assert (one["batch"], many["batch"]) == (1, 16)
    assert many["steps_per_s"] > one["steps_per_s"] > 10.0


def test_a_peer_in_a_process_of_its_own_that_fails_says_why():
    config = BenchEnginesConfig(seconds=0.01)
    (row,) = subject._apart("metadrive=/nowhere", config)
    assert row["steps_per_s"] is None
    assert "metadrive cannot be stepped" in row["why"]


def test_versions_stand_beside_each_other_and_a_way_that_fails_says_why(monkeypatch, tmp_path):
    def apart(root, way, seconds, work):
        if way == "openvino":
            return [{"what": work, "frames": 0, "seconds": None, "why": "not installed"}]
        took = {"eager": 2.0, "fused": 0.5}.get(way, 1.0)
        return [{"what": f"{work}, both", "frames": 6, "seconds": took, "told": -0.25}]

    monkeypatch.setattr(bench_versions, "_apart", apart)
    rows = bench_versions.beside_earlier(tmp_path, 0.1)
    (fused,) = (row for row in rows if row["what"] == "dreams, both" and row["way"] == "fused")
    assert (fused["version"], fused["frames_per_s"], fused["times"]) == ("now", 12.0, 4.0)
    (missing,) = (row for row in rows if row["way"] == "openvino")
    assert (missing["frames_per_s"], missing["why"]) == (None, "not installed")
    assert bench_versions.table(rows).row_count == len(rows)
    few = bench_versions.beside_earlier(tmp_path, 0.1, ("agent",), ("fused",))
    assert [(row["version"], row["way"]) for row in few] == [("earlier", "eager"), ("now", "fused")]


@pytest.mark.slow
def test_the_work_of_versions_is_measured_and_its_losses_told():
    """The program itself, on the shipped model, where two ways must tell the same loss."""
    told = {}
    for way in ("eager", "quick"):
        (row,) = bench_versions._apart(bench_versions.ROOT, way, 0.01, "model")
        assert row["why" if row["seconds"] is None else "frames"] == 128
        told[way] = row["told"]
    assert told["quick"] == pytest.approx(told["eager"], rel=1e-4)
    (row,) = bench_versions._apart(bench_versions.ROOT, "turbo", 0.01, "dreams")
    assert "There is no engine" in row["why"]
