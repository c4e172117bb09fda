"""The table of what works on the embedded server is complete, true to its tests, and up to date."""

import ast
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
        'town = "A"\ncommand = "run"\nmachine = "m"\n'
        '[[program]]\ntitle = "x.py -a"\nverdict = "fails"\nseconds = 3\nnotes = ["one", "t|wo"]\n'
        'date = "2026-11-26"\ncommit = "abc"\n'
    )
    section = programs_section(path)
    assert "`run`, m." in section
    assert "| `x.py -a` | fails | 3 | one; t\\|wo | 2026-11-26, abc |" in section
    path.write_text("town = 3")
    with pytest.raises(ConfigError, match="program"):
        programs_section(path)


def test_the_page_counts_members():
    row = Row(cls="A", members=("b", "c"), verdict=Verdict.WORKS, note="", tests=())
    page = document([row], [("A", "b"), ("A", "c")])
    assert "| works | 2 |" in page
    assert "| `b`, `c` | works |  |  |" in page
