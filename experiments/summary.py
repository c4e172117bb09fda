"""What an evaluation comes to: every measure of every policy, with intervals, pairs and routes."""

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from dreamdrive.checkpoint import git_commit
from dreamdrive.config import to_dict
from dreamdrive.experiments.drives import DriveResult
from dreamdrive.experiments.policies import NamedPolicy
from dreamdrive.experiments.report_words import last_line
from dreamdrive.experiments.scores import (
    MEASURE,
    MEASURES,
    SCORER,
    Cells,
    Interval,
    cells,
    chance_of_swaps,
    driven_km,
    estimate,
    flat,
    paired_difference,
    score,
)

if TYPE_CHECKING:
    from dreamdrive.experiments.evaluate import EvaluateConfig

PAIRED = ("driving_score", "completion_pct", "collision_per_km")
SCHEMA = 1
NOTHING = "\N{EN DASH}"


def summarise(config: "EvaluateConfig", drives: dict[str, list[DriveResult]]) -> dict[str, Any]:
    """Returns what `summary.json` holds: every measure of every policy, pairs, and routes."""
    single = {name: cells(results) for name, results in drives.items()}
    pooled = groups_of(config.named)
    heads = {
        group: single[group] if members == [group] else cells(*(drives[m] for m in members))
        for group, members in pooled.items()
    }
    samples = config.bootstrap_samples
    shown = {
        group: _policy(found, [drives[m] for m in pooled[group]], samples)
        for group, found in heads.items()
    }
    for named in config.named:
        if named.name not in shown:
            shown[named.name] = _policy(single[named.name], [drives[named.name]], samples)
            shown[named.name]["run_of"] = named.group
    for named in config.named:
        shown[named.name]["spec"] = named.spec
    pairs = [
        {
            "a": a, "b": b, "num_pairs": len(set(heads[a]) & set(heads[b])),
            "measures": {
                name: asdict(
                    paired_difference(heads[a], heads[b], MEASURE[name], samples=samples)
                )
                for name in PAIRED
            },
            "chances": {
                name: chance_of_swaps(heads[a], heads[b], MEASURE[name]) for name in PAIRED
            },
        }
        for b, a in sorted(combinations(heads, 2), key=lambda pair: list(heads).index(pair[1]))
    ]  # fmt: skip
    return {
        "schema": SCHEMA,
        "scorer": SCORER,
        "conditions": to_dict(config.met),
        "towns": list(dict.fromkeys(town for town, _, _ in config.route_list)),
        "num_routes": len(config.route_list),
        "seeds": list(config.seeds),
        "repetitions": config.repetitions,
        "policies": shown,
        "pairs": pairs,
        "routes": _routes(single),
        "facts": {
            "machine": machine(),
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "git": git_commit(),
        },
    }


def groups_of(policies: Sequence[NamedPolicy]) -> dict[str, list[str]]:
    """Returns the names of each policy's training runs; a policy without runs is its own."""
    groups: dict[str, list[str]] = {}
    for named in policies:
        groups.setdefault(named.group, []).append(named.name)
    return groups


def _policy(found: Cells, runs: Sequence[list[DriveResult]], samples: int) -> dict[str, Any]:
    """Returns what the summary says of one policy."""
    drives = flat(found)
    causes = [drive.cause for drive in drives]
    return {
        "num_runs": len(runs),
        "num_drives": len(drives),
        "num_sim_errors": sum(not drive.is_valid for run in runs for drive in run),
        "num_policy_faults": sum(bool(drive.policy_fault) for drive in drives),
        "policy_fault": next((last_line(d.policy_fault) for d in drives if d.policy_fault), ""),
        "num_repeated": sum(bool(drive.sim_errors) for drive in drives),
        "num_other_traffic": sum(bool(drive.lost_ticks) for drive in drives),
        "km": round(sum(driven_km(drive) for drive in drives), 4),
        "scenarios": _scenarios(drives),
        "causes": {cause: causes.count(cause) for cause in sorted(set(causes))},
        "measures": {m.name: asdict(estimate(found, m, samples=samples)) for m in MEASURES},
    }


def _scenarios(drives: Sequence[DriveResult]) -> dict[str, dict[str, int]]:
    """Returns how often each type of scenario ended how."""
    found: dict[str, dict[str, int]] = {}
    for told in (scenario for drive in drives for scenario in drive.scenarios):
        counts = found.setdefault(told.type, {})
        counts[told.result] = counts.get(told.result, 0) + 1
    return {kind: found[kind] for kind in sorted(found)}


def scenario_table(summary: dict[str, Any]) -> Table:
    """Returns how many scenarios of each type each policy solved, of those that were played."""
    policies = summary["policies"]
    table = Table(title="Scenarios solved, of those that could be played")
    table.add_column("type")
    for name in policies:
        table.add_column(name, justify="right")
    for kind in sorted({kind for facts in policies.values() for kind in facts["scenarios"]}):
        row = []
        for facts in policies.values():
            counts = facts["scenarios"].get(kind, {})
            played = sum(counts.values()) - counts.get("absent", 0)
            row.append(f"{counts.get('solved', 0)} / {played}")
        table.add_row(kind, *row)
    return table


def _routes(by_policy: dict[str, Cells]) -> list[dict[str, Any]]:
    """Returns a row for each route and trial, with every policy's drive on it."""
    keys = sorted({key for found in by_policy.values() for key in found})
    rows = []
    for route, trial in keys:
        drives = {name: found.get((route, trial)) for name, found in by_policy.items()}
        some = next(runs[0] for runs in drives.values() if runs)
        rows.append(
            {
                "route": route, "seed": trial.seed, "repetition": trial.repetition,
                "town": some.town, "length_m": some.length_m,
                "policies": {
                    name: {
                        "driving_score": round(score(drive).driving_score, 3),
                        "completion_pct": round(drive.completion_pct, 3),
                        "cause": drive.cause,
                        "events": [[event.time_s, event.cause] for event in drive.events],
                    }
                    for name, runs in drives.items()
                    for drive in runs or ()
                },
            }
        )  # fmt: skip
    return rows


def table_of(summary: dict[str, Any]) -> Table:
    """Returns the headline as a table for the terminal."""
    names = ("driving_score", "completion_pct", "collision_per_km", "ms_per_decision")
    counts = {"route": summary["num_routes"], "seed": len(summary["seeds"])}
    if summary.get("repetitions", 1) > 1:
        counts["repetition"] = summary["repetitions"]
    told = " x ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items())
    title = f"{summary['scorer']}: {told}, 95 % intervals"
    table = Table(title=title, show_lines=True)
    table.add_column("policy", overflow="fold")
    for name in names:
        measure = MEASURE[name]
        table.add_column(f"{measure.label}\n{measure.unit}", justify="right", min_width=14)
    table.add_column("policy\nfaults", justify="right")
    table.add_column("sim\nerrors", justify="right")
    for policy, facts in summary["policies"].items():
        row = [
            show(Interval(**facts["measures"][name]), MEASURE[name].digits).replace(" [", "\n[")
            for name in names
        ]
        table.add_row(policy, *row, str(facts["num_policy_faults"]), str(facts["num_sim_errors"]))
    return table


def warnings_of(summary: dict[str, Any]) -> list[str]:
    """Returns what a reader must know of the means: drives that are missing in them, or cut."""
    heads = {n: facts for n, facts in summary["policies"].items() if "run_of" not in facts}
    told = [
        f"{name}: its program ended {facts['num_policy_faults']} of {facts['num_drives']} drives, "
        f"which count as far as they came. The first: {facts['policy_fault']}"
        for name, facts in heads.items()
        if facts["num_policy_faults"]
    ]
    if lost := lost_drives(summary):
        told.append(
            f"Lost to the simulator and in no mean: {lost} drives. "
            "The same command makes them again."
        )
    other = [
        f"{n} {facts['num_other_traffic']}" for n, facts in heads.items()
        if facts.get("num_other_traffic")
    ]  # fmt: skip
    if other:
        told.append(
            f"CARLA's Traffic Manager lost ticks in drives of {', '.join(other)}: from there on "
            "their traffic may have driven otherwise than other policies met it."
        )
    return told


def lost_drives(summary: dict[str, Any]) -> str:
    """Returns how many drives of each policy were lost to the simulator; empty if none was."""
    heads = {n: facts for n, facts in summary["policies"].items() if "run_of" not in facts}
    return ", ".join(
        f"{n} {facts['num_sim_errors']}" for n, facts in heads.items() if facts["num_sim_errors"]
    )


def show(interval: Interval, digits: int) -> str:
    """Returns an estimate with its interval as text, a dash where there is none."""
    if interval.value is None:
        return NOTHING
    text = f"{interval.value:.{digits}f}"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def machine() -> str:
    """Returns the processor of this machine and how many of its cores may be used."""
    name = platform.processor() or platform.machine()
    try:
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        name = match[1].strip() if match else name
    except OSError:
        pass
    used = len(os.sched_getaffinity(0))
    return f"{name}, {used} of {os.cpu_count()} cores, {platform.system()}"
