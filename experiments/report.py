"""One HTML file of everything that a run folder holds: scores, films, truth tables and curves."""

import json
import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dreamdrive.checkpoint import git_commit
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.report_evaluation import evaluation_section, progress_section
from dreamdrive.experiments.report_html import MEDIA_TYPES, Media, page, plot, text
from dreamdrive.experiments.report_plots import HIDDEN, curves
from dreamdrive.experiments.report_roads import Roads
from dreamdrive.experiments.report_truth import is_truth, truth_section
from dreamdrive.files import write_atomically

COMMANDS = {
    "EvaluateConfig": "evaluate", "CollectConfig": "collect", "TruthConfig": "truth",
    "TrainTokenizerConfig": "train tokenizer", "TrainWorldModelConfig": "train worldmodel",
    "TrainStudentConfig": "train student", "TrainAgentConfig": "train agent",
    "DreamConfig": "dream", "ImproveConfig": "improve", "DemoConfig": "demo",
    "BenchConfig": "bench",
}  # fmt: skip
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportConfig:
    """What is reported, and where to."""

    run: Path = Path("runs")
    """A folder; evaluations, films, truth tables and curves are looked for in all of it."""
    out: Path | None = None
    """The HTML file, or a folder for it; report.html in the run's folder by default."""
    title: str = ""
    embed_mib: float = 18.0
    """Room for films and pictures in the file itself; what does not fit is linked."""
    pictures: int = 80
    """How many infractions of an evaluation are drawn at most; each takes about 5 kB."""

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ConfigError: If one is impossible.
        """
        if self.embed_mib < 0.0 or self.pictures < 0:
            raise ConfigError("embed_mib and pictures cannot be negative")

    @property
    def file(self) -> Path:
        """Where the report will stand."""
        out = self.out if self.out is not None else self.run
        return out if out.suffix in (".html", ".htm") else out / "report.html"


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run folder holds, each with the path it was found at.

    Attributes:
        evaluations: Contents of `summary.json` by file.
        truths: Contents of truth tables by file.
        curves: Lines of `metrics.jsonl` of trainings by file.
        dreams: Films and pictures of dreams.
        runs: Contents of `run.json` by file.
        broken: What could not be read, and why.
    """

    evaluations: dict[Path, dict[str, Any]]
    truths: dict[Path, dict[str, Any]]
    curves: dict[Path, list[dict[str, float]]]
    dreams: list[Path]
    runs: dict[Path, dict[str, Any]]
    broken: list[str]


def report(config: ReportConfig) -> Path:
    """Writes the report and returns its path.

    Raises:
        ConfigError: If there is no such folder, or nothing in it to report.
        StorageError: If the report could not be written.
    """
    if not config.run.is_dir():
        raise ConfigError(
            "There is no such folder", where=config.run,
            do="Give the folder of a run: dreamdrive report --run runs/NAME.",
        )  # fmt: skip
    found = collect_findings(config.run)
    if not (found.evaluations or found.truths or found.curves or found.dreams):
        raise ConfigError(
            "There is nothing to report here", where=config.run,
            do="Looked for summary.json, truth.json, metrics.jsonl and films of dreams.",
        )  # fmt: skip
    path = config.file
    media = Media(path, round(config.embed_mib * MIB))
    title = config.title or f"Report of {config.run.resolve().name}"
    body = _body(title, config, found, media)
    write_atomically(path, page(title, body).encode())
    return path


def collect_findings(folder: Path) -> Findings:
    """Returns what is to be reported of a folder; unreadable files are named, not raised."""
    found = Findings({}, {}, {}, [], {}, [])
    for path in _files(folder, "summary.json"):
        content = _read(path, found.broken)
        if content is not None and "scorer" in content:
            found.evaluations[path] = content
    for path in _files(folder, "*truth*.json"):
        content = _read(path, found.broken)
        if content is not None and is_truth(content):
            found.truths[path] = content
    for path in _files(folder, "run.json"):
        content = _read(path, found.broken)
        if content is not None:
            found.runs[path] = content
    for path in _files(folder, "metrics.jsonl"):
        made_by = str(found.runs.get(path.parent / "run.json", {}).get("command", "Train"))
        rows = read_metrics(path)
        if made_by.startswith("Train") and any(set(row) - set(HIDDEN) for row in rows[1:]):
            found.curves[path] = rows
    for path in _files(folder, "*"):
        names = [part.lower() for part in path.relative_to(folder).parts]
        is_dream = any("dream" in name for name in names) and "videos" not in names[:-1]
        is_copy = path.suffix.lower() == ".gif" and path.with_suffix(".mp4").is_file()
        if path.suffix.lower() in MEDIA_TYPES and is_dream and not is_copy:
            found.dreams.append(path)
    return found


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Returns the lines of a `metrics.jsonl`, less those that a kill cut short."""
    rows = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int | float):
            rows.append({k: v for k, v in row.items() if _is_number(v)})
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _files(folder: Path, pattern: str) -> Iterable[Path]:
    """Returns files below a folder in order, hidden folders left out."""
    for path in sorted(folder.rglob(pattern)):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not is_hidden:
            yield path


def _read(path: Path, broken: list[str]) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        broken.append(f"{path}: {error}")
        return None
    if not isinstance(content, dict):
        broken.append(f"{path}: not a table")
        return None
    return content


def _body(title: str, config: ReportConfig, found: Findings, media: Media) -> str:
    folder, roads = config.run, Roads(_maps(found))
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [
        f"<h1>{text(title)}</h1>",
        f'<p class="meta">{date} · commit {text(git_commit() or "unknown")} · '
        f"Python {platform.python_version()}</p>",
    ]
    if len(found.evaluations) > 1:
        parts.append(progress_section(found.evaluations, folder))
    for path, summary in found.evaluations.items():
        section, broken = evaluation_section(path, summary, folder, media, roads, config.pictures)
        parts.append(section)
        found.broken.extend(broken)
    if found.truths or found.dreams:
        parts.append("<h2>Does the dream tell the truth?</h2>")
    for path, truth in found.truths.items():
        parts.append(truth_section(_place(path, folder), truth))
    if found.dreams:
        parts.append("<h3>Dream beside reality, under the same actions</h3>")
        figures = [media.figure(path, _place(path, folder)) for path in found.dreams]
        parts.append(f'<div class="grid">{"".join(figures)}</div>')
    if found.curves:
        parts.append("<h2>Training</h2>")
    for path, rows in found.curves.items():
        name = str(path.parent.relative_to(folder))
        name = folder.resolve().name if name == "." else name
        caption = f"{name}: {len(rows)} lines, to step {rows[-1]['step']:g}"
        parts.append(f"<h3>{text(name)}</h3>{plot(curves(rows), caption)}")
    parts += [_provenance(found, folder), roads.symbols()]
    return "\n".join(parts)


def _maps(found: Findings) -> list[Path]:
    """Returns the OpenDRIVE files that the evaluations drove on, as far as their commands tell."""
    configs = [run.get("config") for run in found.runs.values()]
    names = [
        name for config in configs if isinstance(config, dict) for name in config.get("maps") or ()
    ]
    return [Path(str(name)) for name in names]


def _place(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _provenance(found: Findings, folder: Path) -> str:
    """Returns the commands, commits and versions behind the numbers."""
    parts = ["<h2>How this was made</h2>"]
    for path, run in found.runs.items():
        versions = run.get("versions") or {}
        facts = [f"commit {run.get('git') or 'unknown'}"]
        facts += [f"{name} {version}" for name, version in versions.items()]
        parts.append(
            f"<h3>{text(_place(path, folder))}</h3><pre>{text(command_line(run))}</pre>"
            f'<p class="meta">{text(", ".join(facts))}</p>'
        )
    if not found.runs:
        parts.append('<p class="note">No run.json was found.</p>')
    parts += [f'<p class="note bad">Could not be read: {text(name)}</p>' for name in found.broken]
    return "".join(parts)


def command_line(run: Mapping[str, Any]) -> str:
    """Returns the command that makes a run again, from its `run.json`."""
    name = str(run.get("command", ""))
    words = ["dreamdrive", COMMANDS.get(name, name)]
    config = run.get("config")
    for field, value in _flat(config if isinstance(config, Mapping) else {}):
        option = field.replace("_", "-")
        if isinstance(value, bool):
            at = option.rfind(".") + 1
            words.append(f"--{option}" if value else f"--{option[:at]}no-{option[at:]}")
        elif isinstance(value, list):
            words.append(" ".join([f"--{option}", *(str(item) for item in value)]))
        elif value is not None:
            words.append(f"--{option} {value}")
    return " ".join(words)


def _flat(config: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif value not in ("", []):
            yield f"{before}{name}", value
