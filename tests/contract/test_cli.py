import dataclasses
import errno
import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dreamdrive.errors import ConfigError
from dreamdrive.experiments import cli
from dreamdrive.experiments.cli import COMMANDS, main, overview, split

PROBE = """
import os
import sys
sys.argv = ["dreamdrive", *sys.argv[1:]]
from dreamdrive.experiments.cli import main
try:
    status = main()
except SystemExit as stop:
    status = stop.code or 0
heavy = sorted({"torch", "carla", "matplotlib", "tensorboard"} & set(sys.modules))
print("heavy:", heavy, file=sys.stderr)
print("wait:", os.environ.get("OMP_WAIT_POLICY"), file=sys.stderr)
sys.exit(status)
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROBE, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("words", [(), ("--help",), ("serve", "--help"), ("doctor", "--help")])
def test_help_is_quick_since_it_loads_nothing_heavy(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stderr
    assert "usage: dreamdrive" in done.stdout


def test_threads_that_wait_leave_the_core_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert "wait: PASSIVE" in run("doctor", "--help").stderr
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert "wait: ACTIVE" in run("doctor", "--help").stderr, "a user's own choice holds"


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.config])
def test_every_command_has_help_with_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*name.split(), "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: dreamdrive {name}" in text
    for example in COMMANDS[name].examples:
        assert f"dreamdrive {example}" in text


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (name, line)
        for name, command in COMMANDS.items()
        for kind in (command, command.with_env)
        if kind is not None and kind.config
        for line in kind.examples
    ],
)
def test_examples_are_accepted(name: str, line: str) -> None:
    found, rest = split(shlex.split(line))
    assert found == name
    if "--help" in rest:
        return
    command = cli.chosen(name, rest)
    module = importlib.import_module(f"dreamdrive.experiments.{command.module}")
    config = cli.parse(getattr(module, command.config), name, rest)
    assert dataclasses.is_dataclass(config)
    assert callable(getattr(module, command.function))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fly"], "There is no command 'fly'"),
        (["train", "cat"], "There is no command 'train cat'"),
        (["--fly"], "There is no command"),
    ],
)
def test_an_unknown_command_is_answered_with_the_list(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "train worldmodel" in shown


def test_a_group_alone_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 0
    shown = capsys.readouterr().out
    assert "train agent" in shown
    assert "collect" not in shown.split("commands:")[1]


def test_the_overview_names_every_command() -> None:
    assert all(name in overview() and c.summary in overview() for name, c in COMMANDS.items())


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "dreamdrive 0.1.0\n"


def test_every_field_can_be_overridden_nested_ones_too() -> None:
    from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig

    words = ["--steps", "7", "--out", "x/y", "--fine-tune", "--loss.vector", "0.25"]
    config = cli.parse(TrainWorldModelConfig, "train worldmodel", words)
    assert (config.steps, config.out, config.fine_tune) == (7, Path("x/y"), True)
    assert config.loss.vector == 0.25


def test_options_begin_from_a_preset() -> None:
    from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig
    from dreamdrive.worldmodel.presets import PRESETS

    name = "train worldmodel"
    found = cli.parse(
        TrainWorldModelConfig, name, ["--preset", "nano", "--transformer.window", "8"]
    )
    assert found.transformer == dataclasses.replace(PRESETS["nano"].transformer, window=8)
    assert cli.parse(TrainWorldModelConfig, name, []) == TrainWorldModelConfig()


def test_a_preset_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "tokenizer", "--preset", "tiny"])
    assert stop.value.code == 2
    assert "choose from" in capsys.readouterr().err


def test_a_wrong_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--sekonds", "3"])
    assert stop.value.code == 2
    assert "--sekonds" in capsys.readouterr().err


def test_an_impossible_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--port", "-1"])
    assert stop.value.code == 2
    assert "There is no port -1" in capsys.readouterr().err


def test_an_error_is_one_sentence_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tokenizer", "--data", os.devnull, "--out", os.devnull]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("dreamdrive: ")
    assert "Traceback" not in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "Run the same command again to go on"),
        (ConfigError("It is odd", where="x", do="Mend it."), 2, "It is odd (x). Mend it."),
    ],
)
def test_how_a_command_may_end(
    error: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(_: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_run", fails)
    assert main([]) == status
    assert said in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: list[str]) -> int:
        raise OSError(errno.EIO, "bug")

    monkeypatch.setattr(cli, "_run", fails)
    with pytest.raises(OSError, match="bug"):
        main([])
