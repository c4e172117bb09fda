"""The part of a report that shows scenarios, and what went wrong that was no driving."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dreamdrive.experiments.drives import DriveResult, load_drive
from dreamdrive.experiments.policy_turn import NOT_FRESH
from dreamdrive.experiments.report_html import Cell, table, text
from dreamdrive.experiments.report_words import ENDS, last_line, name_of

SHORT = 90
"""Characters of an error's last line that a table shows."""


def results_in(folder: Path, policies: Sequence[str]) -> list[DriveResult]:
    """Returns the results of an evaluation that can be read, those that the server ended too."""
    paths = [
        path for name in policies for path in sorted((folder / "drives" / name).glob("*.json"))
    ]
    return [result for result in map(load_drive, paths) if result is not None]


def scenarios(results: Sequence[DriveResult]) -> str:
    """Returns how often each policy solved each type of scenario, and what failed it else."""
    told: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for result in results:
        for scenario in result.scenarios if result.is_valid else ():
            key = (scenario.type, result.policy)
            told.setdefault(key, []).append((scenario.result, scenario.cause))
    if not told:
        return '<p class="note">The routes held no scenarios.</p>'
    policies = list(dict.fromkeys(result.policy for result in results))
    rows: list[tuple[str, Sequence[Cell | str]]] = [
        ("", [kind, *(_outcome(told.get((kind, policy), [])) for policy in policies)])
        for kind in sorted({kind for kind, _ in told})
    ]
    total = [_outcome([x for (_, p), found in told.items() if p == policy for x in found], False)
             for policy in policies]  # fmt: skip
    note = (
        "Solved, of those that could be played; below it, what else became of them. A scenario is "
        "solved when the car has passed it without an infraction since its trigger, and unreached "
        "when the car never came there."
    )
    rows.append(("group", ["All", *total]))
    return f'<p class="note">{note}</p>{table(["Type", *policies], rows)}'


def _outcome(found: Sequence[tuple[str, str]], with_causes: bool = True) -> Cell:
    if not found:
        return Cell("")
    counts = Counter(result for result, _ in found)
    played = len(found) - counts["absent"]
    causes = Counter(cause or "failed" for result, cause in found if result == "failed")
    lines = [f"{name_of(cause)} {count}" for cause, count in causes.items()] if with_causes else []
    lines += [f"{name} {counts[name]}" for name in ("unreached", "absent") if counts[name]]
    small = f"<small>{'<br>'.join(map(text, lines))}</small>" if lines else ""
    kind = "good" if played and counts["solved"] == played else ""
    return Cell(f"{counts['solved']} / {played}{small}", kind)


def faults(results: Sequence[DriveResult]) -> str:
    """Returns what the simulator and the policies themselves did wrong, drive by drive."""
    rows: list[tuple[str, Sequence[Cell | str]]] = []
    for result in results:
        what = [
            ("nobody" if words.startswith(NOT_FRESH) else "simulator", words)
            for words in result.sim_errors
        ]
        if result.policy_fault:
            what.append(("policy", result.policy_fault))
        for who, words in what:
            came = (
                "in no mean"
                if not result.is_valid
                else "driven again"
                if who != "policy"
                else (f"counts as far as it came: {ENDS.get(result.cause, result.cause)}")
            )
            cell = Cell(
                f"<details><summary>{text(_short(words))}</summary><pre>{text(words)}</pre></details>",
                "left wrap",
            )
            rows.append(
                ("", [who, result.policy, f"{result.route}, seed {result.key[1]}", came, cell])
            )
        if result.lost_ticks:
            words = (
                f"CARLA's Traffic Manager lost {result.lost_ticks} of its ticks: from there on its "
                "traffic may have driven otherwise than other policies met it."
            )
            drive = f"{result.route}, seed {result.key[1]}"
            rows.append(
                ("", ["simulator", result.policy, drive, "counts", Cell(words, "left wrap")])
            )
    lost = sum(not result.is_valid for result in results)
    head = (
        f"<p>{len(results)} drives: {lost} lost to the simulator, "
        f"{sum(bool(r.sim_errors) and r.is_valid for r in results)} driven again after something "
        "else than the policy failed, "
        f"{sum(bool(r.policy_fault) for r in results)} ended by a fault of the policy's program. "
        "A drive that the simulator ended is in no mean; one that the policy ended counts as far "
        "as it came.</p>"
    )
    if not rows:
        return head
    return head + table(["Whose", "Policy", "Drive", "What it cost", "What was said"], rows, left=3)


def _short(words: str) -> str:
    line = last_line(words)
    return line if len(line) <= SHORT else f"{line[: SHORT - 1]}…"
