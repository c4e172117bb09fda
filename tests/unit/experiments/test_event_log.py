import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamdrive.errors import EventLogError, StorageError
from dreamdrive.experiments.event_log import (
    SCHEMA,
    TICK_COLUMNS,
    log_of_result,
    parse_log,
    read_log,
)
from dreamdrive.experiments.log_writer import LogWriter, finish_log, unfinished
from support.drives import drive
from support.logs import event, lines_of, log, ticks

START = {"tick_s": 0.1, "ego_half_length_m": 2.5, "ego_half_width_m": 1.0}
ACTOR = (5, 0, 12.0, 0.0, 0.0, 1.0, 0.0, 2.0, 1.0)


def same(a, b):
    assert (a.result, a.events) == (b.result, b.events)
    np.testing.assert_array_equal(a.ticks.values, b.ticks.values)
    np.testing.assert_array_equal(a.ticks.actors, b.ticks.actors)
    np.testing.assert_array_equal(a.ticks.actor_tick, b.ticks.actor_tick)


def test_a_log_comes_back_from_its_lines():
    made = log(["red_light", "off_road"], ticks(20, [(3, *ACTOR), (4, *ACTOR)], traffic_mps=np.nan))
    same(parse_log(lines_of(made)), made)
    assert made.ticks.column("speed_mps")[7] == 10.0
    assert made.ticks.actor("x").tolist() == [12.0, 12.0]
    assert made.ticks.actor_tick.tolist() == [3, 4]


def test_a_log_holds_the_points_of_the_route():
    made = log([], ticks(5))
    start, *rest = lines_of(made)
    assert parse_log([start, *rest]).route is None
    told = json.loads(start) | {"points": [[0.0, 1.0], [2.0, 3.0]]}
    found = parse_log([json.dumps(told), *rest])
    assert found.route.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert found.until(0.2, "blocked").route is found.route
    with pytest.raises(EventLogError, match="route is broken"):
        parse_log([json.dumps(told | {"points": [[0.0]]}), *rest])


@pytest.mark.parametrize("schema", [1, 2])
def test_a_log_from_before_it_held_the_lane_is_read_without(schema):
    made = log(["red_light"], ticks(5, [(3, *ACTOR)], lane_id=-1.0))
    assert parse_log(lines_of(made)).ticks.column("lane_id").tolist() == [-1.0] * 5
    lines = list(map(json.loads, lines_of(made)))
    known = TICK_COLUMNS[: TICK_COLUMNS.index("road_id")]
    lines[0] |= {"schema": schema, "columns": known}
    lines[1]["rows"] = [[*row[: len(known)], row[-1]] for row in lines[1]["rows"]]
    old = parse_log(map(json.dumps, lines))
    assert np.isnan(old.ticks.values[:, len(known) :]).all()
    for name in known:
        assert old.ticks.column(name).tolist() == made.ticks.column(name).tolist()
    assert (old.result, old.ticks.actors.tolist()) == (made.result, made.ticks.actors.tolist())
    lines[0]["schema"] = SCHEMA
    with pytest.raises(EventLogError, match="other columns"):
        parse_log(map(json.dumps, lines))


def test_a_log_says_where_the_first_junction_is():
    start, *rest = lines_of(log([], ticks(5)))
    assert parse_log([start, *rest]).first_junction_m is None
    for told, meant in ((12.5, 12.5), (None, float("inf"))):
        line = json.dumps(json.loads(start) | {"first_junction_m": told})
        found = parse_log([line, *rest])
        assert found.first_junction_m == found.until(0.2, "blocked").first_junction_m == meant
    line = json.dumps(json.loads(start) | {"first_junction_m": []})
    with pytest.raises(EventLogError, match="junction is broken"):
        parse_log([line, *rest])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_neither_the_order_of_events_nor_cuts_change_a_log(data):
    made = log(["red_light", "off_road", "red_light"], ticks(12, [(3, *ACTOR), (9, *ACTOR)]))
    cuts = data.draw(st.lists(st.integers(0, 12), max_size=5))
    start, *between, end = lines_of(made, cuts)
    rows = [line for line in between if '"ticks"' in line]
    mixed = data.draw(st.permutations([line for line in between if '"event"' in line]))
    for line in mixed:
        rows.insert(data.draw(st.integers(0, len(rows))), line)
    same(parse_log([start, *rows, end]), made)


def test_what_is_written_while_driving_is_finished_with_the_result(tmp_path):
    path, result = tmp_path / "p" / "r-0.jsonl", drive(causes=["red_light"])
    row = [*range(len(TICK_COLUMNS)), [list(ACTOR)]]
    with LogWriter(path, START) as writer:
        for _ in range(5):
            writer.tick(row)
        writer.event(event("red_light", 0.0))
        assert not path.exists()
    finish_log(path, result)
    found = read_log(path)
    assert found.result == result
    assert len(found.ticks) == 5
    assert found.ticks.column("pedal")[0] == 14.0
    assert not unfinished(path).exists()


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path):
    path = tmp_path / "r-0.jsonl"
    with LogWriter(path, START) as writer:
        writer.event(event("red_light", 0.0))
    with unfinished(path).open("a") as file:
        file.write('{"kind":"ticks","rows":[[0.1,')
    finish_log(path, drive(cause="sim_error", sim_errors=("gone",)))
    found = read_log(path)
    assert (found.result.sim_errors, len(found.events), len(found.ticks)) == (("gone",), 1, 0)


def test_a_process_that_is_killed_at_once_leaves_a_log_that_can_be_read(tmp_path):
    path = tmp_path / "r-0.jsonl"
    writer = LogWriter(path, START)
    finish_log(path, drive(cause="sim_error"))
    assert read_log(path).result.cause == "sim_error"
    writer.close()
    unfinished(path).write_text('{"kind":"sta')
    finish_log(path, drive(cause="sim_error"))
    assert not path.exists()
    assert not unfinished(path).exists()


def test_a_drive_that_was_not_logged_keeps_no_older_log(tmp_path):
    path = tmp_path / "r-0.jsonl"
    path.write_text("older\n")
    finish_log(path, drive())
    assert not path.exists()


def test_a_result_alone_is_a_log_without_ticks():
    result = drive(causes=["red_light"])
    found = log_of_result(result)
    assert (found.result, found.ticks, found.count("red_light")) == (result, None, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:-1], "no end"),
        (lambda lines: lines[1:], "no start"),
        (lambda lines: [lines[0], lines[1][:30], *lines[2:]], ":2.*broken"),
        (lambda lines: [*lines, '{"kind":"magic"}'], "magic"),
        (lambda lines: [*lines, "[]"], "broken"),
        (lambda lines: [json.dumps(json.loads(lines[0]) | {"columns": []}), *lines], "columns"),
        (lambda lines: [json.dumps(json.loads(lines[0]) | {"schema": 99}), *lines], "schema 99"),
        (lambda lines: [lines[0], '{"kind":"ticks","rows":[[1]]}', lines[-1]], "ticks are broken"),
    ],
)
def test_broken_logs_are_refused(change, words):
    assert SCHEMA == 3
    lines = change(lines_of(log(["red_light"], ticks(3))))
    with pytest.raises(EventLogError, match=words.replace(":2.*broken", "broken")):
        parse_log(lines)


def test_a_log_that_is_not_there_and_one_that_cannot_be_written(tmp_path):
    with pytest.raises(EventLogError, match="cannot be read"):
        read_log(tmp_path / "none.jsonl")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="event log"):
        LogWriter(tmp_path / "file" / "r.jsonl", START)
