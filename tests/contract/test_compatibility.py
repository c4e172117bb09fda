"""The table of what works on the embedded server is complete, true to its tests, and up to date."""

import ast
import re
from pathlib import Path

import pytest

pytest.importorskip("carla")

from dreamdrive.envs.carla.compatibility import (
    Row,
    Verdict,
    document,
    inventory,
    main,
    programs_section,
    read_rows,
)
from dreamdrive.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path(__file__).parent / "embedded_server"
SUPPORT = Path(__file__).parents[1] / "support"
ROWS = read_rows(ROOT / "docs" / "compatibility.toml")


def test_every_member_of_the_module_has_one_verdict():
    judged = [member for row in ROWS for member in row.judged()]
    assert len(judged) == len(set(judged))
    assert set(judged) == set(inventory())
    assert len(judged) > 700


def test_every_named_test_exists_and_every_row_names_one():
    existing = {
        f"{path.name}::{node.name}"
        for path in TESTS.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert {test for row in ROWS for test in row.tests} - existing == set()
    assert [row for row in ROWS if not row.tests] == []


def source_of(test):
    """Returns the text of a test, of all in its file that it uses and of programs that it runs."""
    path = TESTS / test.split("::")[0]
    text = path.read_text()
    parts = {}
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node]
        names = [getattr(target, "name", getattr(target, "id", "")) for target in targets]
        lines = [node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]
        parts |= {n: "\n".join(text.split("\n")[min(lines) - 1 : node.end_lineno]) for n in names}
    used, todo = {}, [test.split("::")[1]]
    while todo:
        name = todo.pop()
        used[name] = parts[name]
        todo += [word for word in re.findall(r"\w+", used[name]) if word in parts.keys() - used]
    programs = re.findall(r'"support\.(\w+)"', "".join(used.values()))
    return "\n".join([*used.values(), *((SUPPORT / f"{n}.py").read_text() for n in programs)])


def test_every_member_is_named_by_a_test_that_backs_it():
    without = [
        (row.cls, name)
        for row in ROWS
        for text in ["\n".join(map(source_of, row.tests))]
        for name in row.members
        if not re.search(rf"\b{name}\b", text)
    ]
    assert without == []


def test_the_page_is_what_the_command_writes(tmp_path):
    for name in ("compatibility.toml", "foreign.toml"):
        (tmp_path / name).write_text((ROOT / "docs" / name).read_text())
    assert main(["--docs", str(tmp_path)]) == 0
    page = (tmp_path / "compatibility.md").read_text()
    assert page == (ROOT / "docs" / "compatibility.md").read_text()


def test_a_member_without_a_verdict_is_named(tmp_path, capsys):
    text = (ROOT / "docs/compatibility.toml").read_text()
    (tmp_path / "compatibility.toml").write_text(text.replace('"get_pole_index"', '"get_pole"'))
    assert main(["--docs", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "get_pole_index" in said
    assert "'get_pole'" in said
    assert not (tmp_path / "compatibility.md").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("row = 3", "TypeError"), ("[[row]]\nclass = 'A'", "verdict"),
        ("[[row]]\nclass = 'A'\nverdict = 'maybe'", "MAYBE"),
        ("[[row]]\nclass = 'A'\nverdict = 'limits'", "needs a note"),
        ("[[row]]\nclass = 'A'\nverdict = 'works'\n" * 2, "two verdicts"), ("[", "read"),
    ],
)  # fmt: skip
def test_a_broken_file_is_said(tmp_path, text, words):
    path = tmp_path / "compatibility.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_rows(path)


def test_programs_of_others_stand_on_the_page(tmp_path):
    path = tmp_path / "foreign.toml"
    assert programs_section(path) == ""
    path.write_text(
        'town = "A"\ncommand = "run"\nmachine = "m"\nsources = "Of May."\n'
        '[[program]]\ntitle = "x.py -a"\nverdict = "fails"\nseconds = 3\nnotes = ["one", "t|wo"]\n'
        'date = "2026-11-26"\ncommit = "abc"\n'
    )
    section = programs_section(path)
    assert "`run`, m. Of May.\n" in section
    assert "| `x.py -a` | fails | 3 | one; t\\|wo | 2026-11-26, abc |" in section
    path.write_text("town = 3")
    with pytest.raises(ConfigError, match="program"):
        programs_section(path)


def test_the_page_counts_members():
    row = Row(cls="A", members=("b", "c"), verdict=Verdict.WORKS, note="", tests=())
    page = document([row], [("A", "b"), ("A", "c")])
    assert "| works | 2 |" in page
    assert "| `b` | works |  |  |\n| `c` | works |  |  |" in page
