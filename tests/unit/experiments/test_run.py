import errno
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dreamdrive import __version__
from dreamdrive.errors import ConfigError, StorageError
from dreamdrive.experiments import run
from dreamdrive.experiments.run import RunLog, begin_run, duration


@dataclass(frozen=True, kw_only=True, slots=True)
class BakeConfig:
    out: Path = Path("runs/bake")
    heat: float = 0.5


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(run.time, "monotonic", found.monotonic)
    return found


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Console:
    found = Console(width=120, record=True, force_terminal=False, quiet=False)
    monkeypatch.setattr(run, "console", found)
    return found


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_resolved_config_stands_beside_the_run(tmp_path: Path) -> None:
    begin_run(tmp_path / "r", BakeConfig(heat=0.75))
    facts = json.loads((tmp_path / "r" / "run.json").read_text())
    assert facts["command"] == "BakeConfig"
    assert facts["config"] == {"out": "runs/bake", "heat": 0.75}
    assert facts["versions"]["dreamdrive"] == __version__
    assert {"python", "torch", "gymnasium"} <= facts["versions"].keys()


def test_a_run_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    begin_run(tmp_path, BakeConfig(heat=0.75), may_change=())
    begin_run(tmp_path, BakeConfig(heat=0.75, out=Path("moved")), may_change=())
    before = (tmp_path / "run.json").read_text()
    with pytest.raises(ConfigError, match=r"'heat': 0\.75, now 0\.5"):
        begin_run(tmp_path, BakeConfig(), may_change=())
    assert (tmp_path / "run.json").read_text() == before
    begin_run(tmp_path, BakeConfig(), may_change=("heat",))
    assert json.loads((tmp_path / "run.json").read_text())["config"]["heat"] == 0.5


def test_a_run_goes_on_where_an_option_is_new_and_left_at_its_default(tmp_path: Path) -> None:
    begin_run(tmp_path, BakeConfig(heat=0.75), may_change=())
    path = tmp_path / "run.json"
    facts = json.loads(path.read_text())
    del facts["config"]["heat"]
    path.write_text(json.dumps(facts))
    with pytest.raises(ConfigError, match=r"'heat': 0\.5, now 0\.75"):
        begin_run(tmp_path, BakeConfig(heat=0.75), may_change=())
    begin_run(tmp_path, BakeConfig(), may_change=())


def test_every_step_is_a_line(tmp_path: Path, clock: Clock, screen: Console) -> None:
    with RunLog(tmp_path, "bake", 3) as log:
        for step in (1, 2, 3):
            clock.now += 0.5
            log(step, {"loss": 1.0 / step})
    assert rows(tmp_path) == [
        {"step": 1, "time_s": 0.5, "loss": 1.0},
        {"step": 2, "time_s": 1.0, "loss": 0.5},
        {"step": 3, "time_s": 1.5, "loss": 1.0 / 3.0},
    ]


def test_tensorboard_gets_the_mean_of_each_second(
    tmp_path: Path, clock: Clock, screen: Console
) -> None:
    with RunLog(tmp_path, "bake", 100) as log:
        for step, loss in enumerate((4.0, 2.0, 0.0, 7.0), start=1):
            clock.now += 0.4
            log(step, {"loss": loss})
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in events] == [(3, 2.0), (4, 7.0)]


def test_a_resumed_run_drops_what_it_does_again(
    tmp_path: Path, clock: Clock, screen: Console
) -> None:
    with RunLog(tmp_path, "bake", 6) as log:
        for step in (1, 2, 3, 4):
            log(step, {"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    with RunLog(tmp_path, "bake", 6) as log:
        for step in (3, 4, 5):
            log(step, {"loss": 2.0})
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [
        (1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0),
    ]  # fmt: skip


def test_without_a_terminal_a_line_is_printed_every_ten_seconds(
    tmp_path: Path, clock: Clock, screen: Console
) -> None:
    with RunLog(tmp_path, "bake", 200, "loaf") as log:
        for step in range(1, 51):
            clock.now += 0.5
            log(step, {"loss": 0.25})
    lines = screen.export_text().splitlines()
    assert lines == [
        "bake  20/200 loafs  2.0 loafs/s  left 1:30  loss 0.25",
        "bake  40/200 loafs  2.0 loafs/s  left 1:20  loss 0.25",
        "bake  50/200 loafs  2.0 loafs/s  left 1:15  loss 0.25",
    ]


def test_the_rate_of_a_resumed_run_counts_its_own_steps(
    tmp_path: Path, clock: Clock, screen: Console
) -> None:
    with RunLog(tmp_path, "bake", 1000) as log:
        for step in range(501, 511):
            clock.now += 4.0
            log(step, {})
        assert log.rate() == pytest.approx(0.25)
        assert log.status() == "510/1000 steps  4.0 s/step  left 32:40"


def test_nothing_logged_writes_nothing(tmp_path: Path, screen: Console) -> None:
    with RunLog(tmp_path / "r", "bake", 3):
        pass
    assert not (tmp_path / "r").exists()


def test_what_was_logged_survives_an_exception(
    tmp_path: Path, clock: Clock, screen: Console
) -> None:
    def interrupted() -> None:
        with RunLog(tmp_path, "bake", 3) as log:
            log(1, {"loss": 1.0})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [row["step"] for row in rows(tmp_path)] == [1]


def test_a_full_disk_is_one_sentence(
    tmp_path: Path, clock: Clock, screen: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunLog(tmp_path, "bake", 3) as log:
        log(1, {"loss": 1.0})
        file = log._file
        assert file is not None

        def full(_: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        class Full:
            write, flush, close = staticmethod(full), file.flush, file.close

        monkeypatch.setattr(log, "_file", Full())
        with pytest.raises(StorageError, match=r"No space left on device.*last save"):
            log(2, {"loss": 1.0})
    assert [row["step"] for row in rows(tmp_path)] == [1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
