import os
import stat
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("agents", "envs", "experiments", "kernels", "planners", "worldmodel")
IMPORT = """
import sys
import dreamdrive
import gymnasium
assert {"WorldModelDream-v0", "CarlaDrive-v0"} <= set(gymnasium.registry)
print(dreamdrive.__file__)
print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "carla", "matplotlib"}))
"""


def project() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def test_the_import_loads_neither_torch_nor_carla() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines()[1] == "[]"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_links_are_relative(folder: str) -> None:
    link = ROOT / "dreamdrive" / folder
    assert link.is_symlink()
    assert os.readlink(link) == f"../{folder}"


def test_every_package_has_an_init() -> None:
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path.parent


def test_the_version_is_said_once() -> None:
    import dreamdrive

    assert "version" in project()["dynamic"]  # type: ignore[operator]
    assert metadata.version("dreamdrive") == dreamdrive.__version__


def test_extras() -> None:
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    assert {"carla", "sb3", "triton", "flash", "dev", "all"} <= extras.keys()
    assert extras["carla"] == ["carla==0.9.16; python_version < '3.13'"]
    assert "flash" not in extras["all"][0], "it needs a compiler for CUDA"


def test_the_entry_point_is_the_command_line() -> None:
    (found,) = metadata.entry_points(group="console_scripts", name="dreamdrive")
    assert found.value == "dreamdrive.experiments.cli:main"


def test_every_recipe_of_make_is_declared() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", "demo", "test", "lint", "ARGS=--quick"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert ".venv/bin/dreamdrive demo --quick" in shown
    assert '.venv/bin/pytest -m "not slow and not gpu"' in shown
    assert "pip install" in shown


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("print-3.9", "needs Python 3.11 or 3.12"),
        ("no-venv", "apt install python3-venv"),
        ("no-network", "package index cannot be reached"),
    ],
)
def test_make_says_in_one_sentence_what_is_missing(python: str, said: str, tmp_path: Path) -> None:
    """Stand-ins for a Python that is too old, one without venv, and a pip without a network."""
    fake = tmp_path / "python"
    fake.write_text(
        {
            "print-3.9": '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1"\nexit 1\n',
            "no-venv": '#!/bin/sh\ncase "$2" in *venv*) exit 1;; esac\n',
            "no-network": (
                '#!/bin/sh\n[ "$2" = venv ] || exit 0\nmkdir -p "$3/bin"\n'
                "printf '#!/bin/sh\\necho \"Failed to establish a new connection\" >&2; exit 1\\n'"
                ' > "$3/bin/pip"\nchmod +x "$3/bin/pip"\n'
            ),
        }[python]
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    command = ["make", "setup", f"PYTHON={fake}", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    sentences = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(sentences) == 1, done.stderr
    assert said in sentences[0]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    # Built from a copy, so that the build leaves nothing in the tree.
    source.mkdir()
    for name in ("dreamdrive", *FOLDERS):
        subprocess.run(["cp", "-a", str(ROOT / name), str(source)], check=True, timeout=60)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_file():
            (source / name).write_bytes((ROOT / name).read_bytes())
    shipped = source / "worldmodel" / "checkpoints" / "probe"
    shipped.mkdir(parents=True)
    (shipped / "config.json").write_text("{}")
    (shipped / "model.safetensors").write_bytes(b"weights")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run(
        [*command, str(source)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_holds_every_module_once(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            assert f"dreamdrive/{path.relative_to(ROOT).as_posix()}" in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dreamdrive"}
    assert len(names) == len(set(names))


def test_the_wheel_holds_the_checkpoint_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.read("dreamdrive/worldmodel/checkpoints/probe/model.safetensors") == (
            b"weights"
        )
    assert "dreamdrive/worldmodel/checkpoints/probe/config.json" in names
    assert "dreamdrive/py.typed" in names
    assert any(name.endswith("/LICENSE") for name in names)


def test_the_wheel_works_alone(wheel: Path, tmp_path: Path) -> None:
    """Unpacked where nothing of the tree can be found; its dependencies are those installed."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{IMPORT}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    where, heavy = done.stdout.splitlines()
    assert Path(where).is_relative_to(tmp_path)
    assert heavy == "[]"


@pytest.mark.slow
def test_the_wheel_installs_into_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Needs a package index, and minutes."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "v")], check=True, timeout=120)
    python = str(tmp_path / "v" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, timeout=900)
    done = subprocess.run(
        [python, "-c", IMPORT], cwd="/", capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines()[1] == "[]"
