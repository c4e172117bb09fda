"""Event logs of drives that nobody drove."""

import itertools
import json

import numpy as np

from dreamdrive.config import to_dict
from dreamdrive.experiments.event_log import (
    ACTOR_COLUMNS,
    SCHEMA,
    TICK_COLUMNS,
    LogEvent,
    Ticks,
    make_log,
)
from support.drives import drive


def event(cause, time_s=1.0, other=-1, value=None):
    return LogEvent(cause=cause, time_s=time_s, x=0.0, y=0.0, other=other, value=value)


def log(causes=(), ticks=None, events=(), unwatched=(), **fields):
    """Returns a log of a drive of 1 km, on which everything was watched."""
    made = [event(cause, float(i)) for i, cause in enumerate(causes)]
    return make_log(drive(**fields), [*made, *events], ticks, unwatched)


def ticks(num=200, actors=(), tick_s=0.1, **columns):
    """Returns ticks at a constant 10 m/s on a straight, where the columns do not say otherwise.

    `actors` are rows of `ACTOR_COLUMNS`, each with its tick before it.
    """
    time_s = np.arange(num) * tick_s
    constant = {
        "time_s": time_s, "progress_m": 10.0 * time_s, "x": 10.0 * time_s, "speed_mps": 10.0,
        "speed_limit_mps": 10.0, "traffic_mps": 8.0,
    }  # fmt: skip
    told = constant | columns
    values = np.column_stack(
        [np.broadcast_to(told.get(name, 0.0), (num,)) for name in TICK_COLUMNS]
    )
    rows = np.array(sorted(actors), np.float64).reshape(-1, 1 + len(ACTOR_COLUMNS))
    return Ticks(
        tick_s=tick_s, values=values.astype(np.float64), actors=rows[:, 1:],
        actor_tick=rows[:, 0].astype(np.int64), ego_half_length_m=2.5, ego_half_width_m=1.0,
    )  # fmt: skip


def lines_of(log, cuts=()):
    """Returns the log as lines, its ticks cut into one line before each of `cuts`."""
    way = log.ticks
    start = {
        "kind": "start", "schema": SCHEMA, "tick_s": way.tick_s, "columns": TICK_COLUMNS,
        "actor_columns": ACTOR_COLUMNS, "ego_half_length_m": way.ego_half_length_m,
        "ego_half_width_m": way.ego_half_width_m, "unwatched": log.unwatched,
    }  # fmt: skip
    rows = [
        [*(None if np.isnan(v) else v for v in row), way.actors[way.actor_tick == t].tolist()]
        for t, row in enumerate(way.values.tolist())
    ]
    edges = [0, *sorted(cuts), len(rows)]
    ticks = [{"kind": "ticks", "rows": rows[a:b]} for a, b in itertools.pairwise(edges)]
    events = [{"kind": "event", **to_dict(e)} for e in log.events]
    outcome = to_dict(log.result)
    del outcome["events"]
    lines = [start, *ticks, *events, {"kind": "end", "result": outcome}]
    return [json.dumps(line) for line in lines]
