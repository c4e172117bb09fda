"""Writes what of the `carla` module works on the embedded server, from verdicts kept in one file.

`python -m dreamdrive.envs.carla.compatibility` lists the classes and members of the installed
module, looks each up in `docs/compatibility.toml`, and writes `docs/compatibility.md`, with the
programs of others that `docs/foreign.toml` keeps.
"""

import argparse
import inspect
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from dreamdrive.errors import ConfigError, MissingExtraError
from dreamdrive.files import write_atomically

try:
    import carla
except ImportError as error:
    raise MissingExtraError("carla", "carla") from error

Member = tuple[str, str]
"""A class and the name of its member; the name is empty for the class itself."""
INTRODUCTION = """# What works on the embedded server

Every class of the `carla` 0.9.16 module with its methods and properties; an enumeration, or a class
without members, counts as one. Written by `python -m dreamdrive.envs.carla.compatibility` from
`compatibility.toml`; a test holds both to the installed module, and each member to tests that name
it. Tests are in `tests/contract/embedded_server/`.
"""

PROGRAMS = """## Programs of others

CARLA's own examples, tools and agents and its leaderboard, unmodified, given by path. *Works* means
that a program ended as it should, without an error, and printed and wrote what it is for;
*refused*, that the server told it what there is not. In {}: `{}`, {}. {}
"""


class Verdict(Enum):
    """Whether a member does on the embedded server what it does on CARLA's."""

    WORKS = "works"
    LIMITS = "works with stated limits"
    REFUSED = "refused with this error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A verdict on some members of a class.

    Attributes:
        cls: The class, with `command.` in front of a command.
        members: Names of methods and properties; empty for the class itself.
        verdict: What it is worth.
        note: The limits, or the error.
        tests: Those that back it, as `file.py::function`.
    """

    cls: str
    members: tuple[str, ...]
    verdict: Verdict
    note: str
    tests: tuple[str, ...]

    def judged(self) -> list[Member]:
        """Returns the members that the row speaks of."""
        return [(self.cls, name) for name in self.members or ("",)]


def inventory() -> list[Member]:
    """Returns all members of the installed module, in the order of their classes' names."""
    found = []
    for prefix, module in (("", carla), ("command.", carla.command)):
        for name, value in sorted(vars(module).items()):
            if inspect.isclass(value):
                members = [""] if _is_constant(value) else _members(value) or [""]
                found += [(prefix + name, member) for member in members]
    return found


def _members(value: type) -> list[str]:
    return [name for name in vars(value) if not name.startswith("__")]


def _is_constant(value: Any) -> bool:
    """Returns whether a class only lists constants, as enumerations do."""
    return (hasattr(value, "values") and hasattr(value, "names")) or value is carla.LandmarkType


def read_rows(path: Path) -> list[Row]:
    """Returns the verdicts of a file.

    Raises:
        ConfigError: If it cannot be read, or a row lacks a part, or two rows speak of one member.
    """
    try:
        tables = tomllib.loads(path.read_text())["row"]
        rows = [
            Row(
                cls=table["class"], members=tuple(table.get("members", ())),
                verdict=Verdict[table["verdict"].upper()], note=table.get("note", ""),
                tests=tuple(table.get("tests", ())),
            )
            for table in tables
        ]  # fmt: skip
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"The verdicts cannot be read: {error!r}", where=path) from error
    seen: set[Member] = set()
    for row in rows:
        if row.verdict is not Verdict.WORKS and not row.note:
            raise ConfigError(f"{row.cls} {row.members} needs a note", where=path)
        twice = seen & set(row.judged())
        if twice:
            raise ConfigError(f"{sorted(twice)} have two verdicts", where=path)
        seen |= set(row.judged())
    return rows


def document(rows: list[Row], members: list[Member], programs: str = "") -> str:
    """Returns the page that lists the verdicts.

    Args:
        rows: The verdicts.
        members: All members of the module.
        programs: A section that stands before them.

    Raises:
        ConfigError: If a member has no verdict, or a verdict no member.
    """
    judged = {key for row in rows for key in row.judged()}
    if judged != set(members):
        raise ConfigError(
            f"Without a verdict: {sorted(set(members) - judged)}; "
            f"not in the module: {sorted(judged - set(members))}",
            where="compatibility.toml", do="Give each member of the module one verdict.",
        )  # fmt: skip
    lines = [INTRODUCTION, "| verdict | members |", "|---|---|"]
    for verdict in Verdict:
        count = sum(len(row.judged()) for row in rows if row.verdict is verdict)
        lines.append(f"| {verdict.value} | {count} |")
    if programs:
        lines += ["", programs.rstrip("\n")]
    for cls in dict.fromkeys(cls for cls, _ in members):
        lines += ["", f"## {cls}", "", "| member | verdict | limit or error | tests |"]
        lines.append("|---|---|---|---|")
        for row in rows:
            if row.cls == cls:
                tests = ", ".join(f"`{name}`" for name in row.tests)
                note = row.note.replace("|", "\\|")
                rest = f"| {row.verdict.value} | {note} | {tests} |"
                lines += [f"| `{name}` {rest}" for name in row.members]
                lines += [] if row.members else [f"| the class {rest}"]
    return "\n".join(lines) + "\n"


def programs_section(path: Path) -> str:
    """Returns the table of programs of others that a file keeps, or nothing without the file.

    Raises:
        ConfigError: If it cannot be read, or lacks a part.
    """
    if not path.exists():
        return ""
    try:
        kept = tomllib.loads(path.read_text())
        rows = [
            (
                row["title"],
                row["verdict"],
                str(row.get("seconds", "")),
                "; ".join(row["notes"]),
                f"{row['date']}, {row['commit']}" if "commit" in row else "",
            )
            for row in kept["program"]
        ]
        measured = (kept["town"], kept["command"], kept["machine"], kept["sources"])
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"The programs cannot be read: {error!r}", where=path) from error
    lines = [PROGRAMS.format(*measured), "| program | outcome | s | notes | measured |"]
    lines.append("|---|---|---|---|---|")
    for cells in rows:
        title, *rest = (cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| `{title}` | {' | '.join(rest)} |")
    return "\n".join(lines) + "\n\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the page; returns the exit status."""
    options = argparse.ArgumentParser(prog="python -m dreamdrive.envs.carla.compatibility")
    options.add_argument("--docs", type=Path, default=Path("docs"), help="folder (%(default)s)")
    folder = options.parse_args(arguments).docs
    try:
        page = document(
            read_rows(folder / "compatibility.toml"), inventory(),
            programs_section(folder / "foreign.toml"),
        )  # fmt: skip
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    write_atomically(folder / "compatibility.md", page.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
