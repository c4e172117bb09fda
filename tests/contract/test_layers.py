import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("agents", "dreamdrive", "envs", "experiments", "kernels", "planners", "worldmodel")
SOURCES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents)
)  # fmt: skip
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "manager"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
    return found


def test_imports_point_down_only() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 60


def test_names_say_what_a_file_is_about() -> None:
    assert [path for path in SOURCES if path.stem in FORBIDDEN_NAMES] == []


def test_nothing_is_unpickled() -> None:
    assert [path for path in SOURCES if "pickle" in imports(path)] == []


def test_only_envs_carla_imports_carla() -> None:
    users = {path for path in SOURCES if "carla" in {name.split(".")[0] for name in imports(path)}}
    assert users
    assert {path.relative_to(ROOT).parts[:2] for path in users} == {("envs", "carla")}


def test_the_folders_are_imported_by_their_full_name() -> None:
    roots = {folder for folder in FOLDERS if folder != "dreamdrive"}
    for path in SOURCES:
        assert not roots & {name.split(".")[0] for name in imports(path)}, path
