"""Evaluations of drives that nobody drove, as they stand in a folder."""

import json
from dataclasses import replace

import numpy as np

from dreamdrive.experiments.drives import drive_path, save_drive
from dreamdrive.experiments.evaluate import EvaluateConfig
from dreamdrive.experiments.event_log import LogEvent
from dreamdrive.experiments.rescore import write_scores
from dreamdrive.experiments.scored_drives import drives_in
from dreamdrive.experiments.scorers.registry import MODULES, find_scorers
from dreamdrive.experiments.summary import summarise
from support.logs import lines_of, log, ticks

ROUTES = ("Dream02-1-000", "Dream02-1-001")


def car(tick, x, y=0.0, number=7, speed=0.0, yaw=0.0, is_walker=0):
    """Returns an actor in the ego's axes at a tick; the ego is at 10 m/s along x."""
    at = (x + tick, y, yaw, speed * np.cos(yaw), speed * np.sin(yaw))
    return (tick, number, is_walker, *at, 0.3 if is_walker else 2.0, 0.3 if is_walker else 1.0)


def hit(kind="vehicle", time_s=5.0, detail="vehicle.audi.tt", number=7):
    where = {"x": 10.0 * time_s, "y": 0.0}
    cause = f"collision_{kind}"
    return LogEvent(cause=cause, time_s=time_s, other=number, detail=detail, **where)


def made(events=(), actors=(), columns=None, **fields):
    found = log([], ticks(200, actors, **(columns or {})), events, **fields)
    return replace(found, route=np.stack([np.arange(0.0, 260.0, 2.0), np.zeros(130)], axis=1))


def keep(out, found):
    path = drive_path(out, found.result.policy, found.result.key)
    save_drive(out, found.result)
    if found.ticks is None:
        return
    start, *rest = lines_of(found)
    start = json.loads(start) | {"points": found.route.tolist()}
    path.with_suffix(".jsonl").write_text("\n".join([json.dumps(start), *rest]) + "\n")


def folder(out, logs, names=("a", "b")):
    """Writes an evaluation of two policies as `evaluate` does."""
    for found in logs:
        keep(out, found)
    config = EvaluateConfig(policies=tuple(f"{n}=straight" for n in names), towns=("Dream02",),
                            routes_per_town=2, bootstrap_samples=100, out=out)  # fmt: skip
    drives = {name: [f.result for f in logs if f.result.policy == name] for name in names}
    (out / "summary.json").write_text(json.dumps(summarise(config, drives)))
    write_scores(out, drives_in(out), find_scorers(tuple(MODULES)), 100)
    return out
