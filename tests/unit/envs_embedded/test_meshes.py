"""Meshes that are kept, and what their names stand for."""

import ast
import os
from pathlib import Path

import pytest

from dreamdrive.envs.embedded.navigation import files, kept
from dreamdrive.envs.embedded.navigation.files import SOURCES, navigation_file
from dreamdrive.envs.embedded.navigation.kept import keep, kept_mesh
from dreamdrive.envs.embedded.towns import build_town, load_town

ROOT, PACKAGE = Path(files.__file__).parents[1], "dreamdrive.envs.embedded."


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dreamdrive" / "navigation"


def test_the_name_counts_every_source_that_a_mesh_is_made_by():
    found, waiting = set(), ["navigation.mesh"]
    while waiting:
        source = waiting.pop().replace(".", "/")
        if source in found or not (ROOT / f"{source}.py").is_file():
            continue
        found.add(source)
        for node in ast.walk(ast.parse((ROOT / f"{source}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(PACKAGE[:-1]):
                module = str(node.module).removeprefix(PACKAGE[:-1]).removeprefix(".")
                waiting += [module, *(f"{module}.{name.name}" for name in node.names)]
    assert found == set(SOURCES)


def test_another_map_and_other_code_have_another_name(monkeypatch):
    town = load_town("Dream01")
    other = build_town(town.name, town.xodr.replace("<OpenDRIVE>", "<OpenDRIVE >"))
    assert other.xodr != town.xodr
    assert navigation_file(other) != navigation_file(town)
    monkeypatch.setattr(files, "_edition", lambda: "another")
    again = build_town(town.name, town.xodr)
    assert navigation_file(again) not in {navigation_file(town), navigation_file(other)}


def test_a_mesh_is_kept_until_it_is_broken(folder):
    assert kept_mesh("Nav/a.bin") is None
    keep("Nav/a.bin", b"ground")
    keep("Nav/b.bin", b"")
    assert kept_mesh("Nav/a.bin") == b"ground"
    assert kept_mesh("Nav/b.bin") == b""
    path = folder / "a.bin"
    content = bytearray(path.read_bytes())
    for at in (0, len(content) - 1):
        spoiled = bytearray(content)
        spoiled[at] ^= 1
        path.write_bytes(spoiled)
        assert kept_mesh("Nav/a.bin") is None


def test_the_meshes_that_were_not_used_for_longest_go_first(folder, monkeypatch):
    monkeypatch.setattr(kept, "MOST_BYTES", 3 * (kept.DIGEST_BYTES + 10))
    for number, name in enumerate(("a", "b", "c")):
        keep(name, b"0123456789")
        os.utime(folder / name, (number, number))
    assert kept_mesh("a") is not None
    keep("d", b"0123456789")
    assert sorted(path.name for path in folder.iterdir()) == ["a", "c", "d"]


def test_where_nothing_can_be_written_nothing_is_kept(folder, monkeypatch):
    folder.parent.mkdir()
    folder.write_bytes(b"a file where the folder should be")
    keep("a", b"ground")
    assert kept_mesh("a") is None

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    keep("a", b"ground")
    assert kept_mesh("a") is None
