import json
import os

import pytest

from dreamdrive.errors import ConfigError, DreamdriveError
from dreamdrive.experiments import bench as subject
from dreamdrive.experiments import bench_rows, bench_scaling, bench_server, bench_world
from dreamdrive.experiments.bench import BenchConfig, as_json, bench, table
from dreamdrive.experiments.bench_envs import carla_row, dream_row, memory_rows, resident_mib
from dreamdrive.experiments.bench_rows import WARM_UP_CALLS, Row, per_second, row_of


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
        ({"growth": (10,)}, "that grow"),
        ({"growth": (10, 10)}, "that grow"),
        ({"growth": (0, 10)}, "that grow"),
    ],
)
def test_impossible_configs_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        BenchConfig(**values)


def test_a_rate_is_calls_over_time(monkeypatch):
    now = iter(x * 0.25 for x in range(100))
    monkeypatch.setattr(bench_rows.time, "perf_counter", lambda: next(now))
    calls = []
    assert per_second(lambda: calls.append(1), 1.0) == pytest.approx(3 / 1.0)
    assert len(calls) == 3 + WARM_UP_CALLS


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
        return [row_of(measure, "ticks/s", 1, [3.0, 1.0, 2.0], floor=1.5)]

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
    before = resident_mib()
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    assert resident_mib() - before == pytest.approx(64.0, abs=16.0)


TINY = BenchConfig(
    repeats=1, seconds=0.01, num_server_vehicles=2, num_vehicles=1, memory_steps=3, crowd=(3, 2),
    growth=(2, 4),
)  # fmt: skip


def holds_numbers(rows):
    return all(len(r.samples) == 1 and r.value > 0.0 for r in rows)


def test_the_server_is_measured_beside_one_that_only_answers():
    pytest.importorskip("carla")
    rows = bench_server.server_rows(TINY, 2)
    assert holds_numbers(rows)
    assert rows[2].value == pytest.approx(rows[0].value / rows[1].value)
    assert [r.floor for r in rows] == [None, None, 0.7]


def test_two_servers_share_a_machine_and_what_eight_would_do_is_computed():
    pytest.importorskip("carla")
    if len(os.sched_getaffinity(0)) < 2:
        with pytest.raises(DreamdriveError, match="two cores"):
            bench_scaling.scaling_rows(TINY)
        return
    alone, pair, share, eight = bench_scaling.scaling_rows(TINY)
    assert holds_numbers([alone, pair, share])
    assert share.value == pytest.approx(pair.value / (2.0 * alone.value))
    assert eight.value == pytest.approx(8.0 * alone.value * min(share.value, 1.0))
    assert not eight.samples
    assert "computed and not measured" in eight.name
    assert [r.cores for r in (alone, pair, share, eight)] == [1, 2, 2, 8]


def test_on_one_core_nothing_is_scaled(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with pytest.raises(DreamdriveError, match="two cores"):
        bench_scaling.scaling_rows(TINY)


def test_a_start_and_a_loaded_town_may_take_so_long():
    pytest.importorskip("carla")
    # In a process of its own: loading a world restarts every Traffic Manager of the process, and
    # crashes where one has lost its server.
    rows = subject._apart("server-start", TINY)
    assert holds_numbers(rows)
    assert [(r.unit, r.floor, r.is_ceiling) for r in rows] == [("s", 1.5, True), ("s", 1.0, True)]
    assert rows[0].value > 0.1, "no interpreter starts sooner"


def test_a_mesh_is_waited_for_new_and_kept():
    new, kept, tick = subject._apart("server-mesh", TINY)
    assert holds_numbers([new, kept, tick])
    assert [row.unit for row in (new, kept, tick)] == ["s", "s", "ms"]
    assert new.value > 0.1, "no interpreter starts sooner"


def test_a_crowd_is_on_the_move_in_the_measured_world():
    sim = bench_world._peopled("Dream01", 3, 2)
    before = [bodies.pose[:, :2].copy() for bodies in (sim.world.vehicles, sim.world.walkers)]
    for _ in range(10):
        sim.tick()
    for bodies, start in zip((sim.world.vehicles, sim.world.walkers), before, strict=True):
        assert (abs(bodies.pose[:, :2] - start).max(1) > 0.1).all()
    row = bench_world.crowd_row(TINY, 1)
    assert holds_numbers([row])
    assert (row.name, row.floor) == ("world of the server, 3 vehicles and 2 walkers", 500.0)


def test_a_town_without_room_for_a_crowd_is_said():
    with pytest.raises(ConfigError, match="no room for 9999 vehicles"):
        bench_world._peopled("Dream01", 9999, 0)


def test_growth_compares_what_one_costs_among_many_and_few():
    rows = bench_world.growth_rows(TINY, 1)
    assert holds_numbers(rows)
    assert [r.unit for r in rows] == ["µs", "µs", ""]
    assert rows[2].value == pytest.approx(rows[1].value / rows[0].value)
    assert rows[2].is_ceiling


def test_each_sensor_has_a_row_and_a_floor(monkeypatch):
    small = tuple((n, k, a | SMALL_LENS, f) for n, k, a, f in bench_world.SENSORS)
    monkeypatch.setattr(bench_world, "SENSORS", small)
    rows = bench_world.sensor_rows(TINY, 1)
    assert holds_numbers(rows)
    assert [r.floor for r in rows] == [150.0, 20.0, None, None, 250.0, 250.0, 20.0]


SMALL_LENS = {"image_size_x": "8", "image_size_y": "6", "points_per_second": "20000"}


@pytest.mark.parametrize(
    ("measured", "unit"),
    [
        (lambda: carla_row(TINY, 1), "decisions/s"),
        (lambda: dream_row("dream", TINY, 1), "steps/s"),
        (lambda: dream_row("dream-16-latent", TINY, 1), "steps/s"),
    ],
)
def test_environments_are_measured(measured, unit):
    row = measured()
    assert holds_numbers([row])
    assert row.unit == unit
    assert row.floor is not None


def test_growth_of_memory_has_a_ceiling():
    row, cost = memory_rows(TINY, 1)
    assert (cost.is_ceiling, cost.unit) == (True, "")
    assert cost.value > 0.0
    assert (row.unit, row.is_ceiling) == ("MiB", True)
    assert row.holds
