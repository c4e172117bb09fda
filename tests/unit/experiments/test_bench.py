import json

import pytest

from dreamdrive.errors import ConfigError
from dreamdrive.experiments import bench as subject
from dreamdrive.experiments.bench import BenchConfig, Row, as_json, bench, per_second, table


def row(**values):
    return Row(**({"name": "a", "unit": "steps/s", "cores": 1, "value": 10.0} | values))


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ({}, None),
        ({"floor": 10.0}, True),
        ({"floor": 10.5}, False),
        ({"floor": 10.0, "is_ceiling": True}, True),
        ({"floor": 9.0, "is_ceiling": True}, False),
        ({"value": None, "floor": 1.0}, None),
    ],
)
def test_whether_a_floor_is_reached(values, holds):
    assert row(**values).holds is holds


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"measures": ("server", "coffee")}, "no measure 'coffee'"),
        ({"repeats": 0}, "positive"),
        ({"seconds": 0.0}, "positive"),
        ({"memory_steps": 0}, "positive"),
    ],
)
def test_impossible_configs_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        BenchConfig(**values)


def test_a_rate_is_calls_over_time(monkeypatch):
    now = iter(x * 0.25 for x in range(100))
    monkeypatch.setattr(subject.time, "perf_counter", lambda: next(now))
    calls = []
    assert per_second(lambda: calls.append(1), 1.0) == pytest.approx(3 / 1.0)
    assert len(calls) == 3 + subject.WARM_UP_CALLS


def test_the_json_says_where_and_when_its_numbers_were_taken():
    facts = as_json([row(samples=(9.0, 10.0, 12.0), floor=5.0), row(value=None, note="skipped")])
    assert facts["machine"]["usable_cores"] >= 1
    assert facts["machine"]["memory_gib"] > 0.1
    assert facts["date"].endswith("+00:00")
    assert facts["command"] == "dreamdrive bench"
    assert facts["rows"][0]["holds"] is True
    assert facts["rows"][0]["samples"] == (9.0, 10.0, 12.0)
    assert facts["rows"][1]["holds"] is None
    json.dumps(facts, allow_nan=False)


def test_the_table_marks_what_falls_short():
    shown = table([row(floor=5.0), row(floor=50.0), row(value=None, note="no checkpoint")])
    assert list(shown.columns[5].cells) == ["ok", "short", "no checkpoint"]
    assert list(shown.columns[4].cells) == ["≥ 5", "≥ 50", ""]


def test_a_run_writes_its_rows_and_the_median(tmp_path, monkeypatch):
    def fake(measure, config):
        return [subject._row(measure, "ticks/s", 1, [3.0, 1.0, 2.0], floor=1.5)]

    monkeypatch.setattr(subject, "_apart", fake)
    path = bench(BenchConfig(out=tmp_path, measures=("server", "dream")))
    rows = json.loads(path.read_text())["rows"]
    assert [(r["name"], r["value"], r["holds"]) for r in rows] == [
        ("server", 2.0, True),
        ("dream", 2.0, True),
    ]
    assert json.loads((tmp_path / "run.json").read_text())["command"] == "BenchConfig"


def test_a_missing_checkpoint_is_a_row_and_no_crash(tmp_path):
    config = BenchConfig(out=tmp_path, model=str(tmp_path / "missing"), seconds=0.1)
    (found,) = subject._apart("dream", config)
    assert found.value is None
    assert found.note.startswith("skipped: ")


def test_the_memory_of_this_process_is_read():
    before = subject.resident_mib()
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    assert subject.resident_mib() - before == pytest.approx(64.0, abs=16.0)
