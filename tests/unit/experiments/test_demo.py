import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamdrive.envs.embedded.towns import TEST_TOWNS
from dreamdrive.errors import ConfigError
from dreamdrive.experiments import demo as module
from dreamdrive.experiments.demo import FULL, QUICK, TOWN, DemoConfig, Stage, demo, run_stages
from support.tiny_world import tiny_model


class Kitchen:
    """Stages that note what they do, and one of which may fail."""

    def __init__(self, folder: Path, names: tuple[str, ...] = ("mix", "bake", "serve")) -> None:
        self.folder, self.names = folder, names
        self.did: list[str] = []
        self.broken = ""

    def work(self, name: str) -> Callable[[], Path]:
        def work() -> Path:
            self.did.append(name)
            if name == self.broken:
                raise KeyboardInterrupt
            path = self.folder / f"{name}.txt"
            path.write_text(name)
            return path

        return work

    def run(self) -> Path:
        stages = [Stage(name, "…", 1.0, self.work(name)) for name in self.names]
        return run_stages(self.folder, stages)


def test_stages_run_in_order_and_the_last_result_is_returned(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    assert kitchen.run() == tmp_path / "serve.txt"
    assert kitchen.did == ["mix", "bake", "serve"]


def test_a_second_run_does_nothing_and_returns_the_same(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    first = kitchen.run()
    kitchen.did.clear()
    assert kitchen.run() == first
    assert kitchen.did == []


@pytest.mark.parametrize("stage", ["mix", "bake", "serve"])
def test_killed_at_any_stage_it_goes_on_there(tmp_path: Path, stage: str) -> None:
    kitchen = Kitchen(tmp_path)
    kitchen.broken = stage
    with pytest.raises(KeyboardInterrupt):
        kitchen.run()
    done = kitchen.did[:-1]
    kitchen.broken = ""
    kitchen.did.clear()
    assert kitchen.run() == tmp_path / "serve.txt"
    assert kitchen.did == [name for name in kitchen.names if name not in done]


def test_a_stage_whose_result_was_deleted_is_done_again(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    kitchen.run()
    (tmp_path / "bake.txt").unlink()
    kitchen.did.clear()
    kitchen.run()
    assert kitchen.did == ["bake"]


def test_a_mark_that_a_kill_cut_short_is_no_mark(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    kitchen.run()
    (tmp_path / "stages" / "bake.json").write_text('{"seconds": 1')
    kitchen.did.clear()
    kitchen.run()
    assert kitchen.did == ["bake"]


def test_each_stage_has_a_headline_with_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    monkeypatch.setattr(module, "console", Console(width=120))
    Kitchen(tmp_path).run()
    shown = capsys.readouterr().out
    assert "1/3 mix … (about 0:01)" in shown
    assert "1/3 mix took 0:00; about 0:02 left" in shown
    assert shown.rstrip().endswith("3/3 serve took 0:00")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A demo whose only stage is to write the report."""

    def stages(config: DemoConfig) -> list[Stage]:
        return [Stage("report", "…", 1.0, Kitchen(config.folder).work("report"))]

    monkeypatch.setattr(module, "_stages", stages)
    return tmp_path / "demo"


def test_the_config_stands_beside_the_run(bare: Path) -> None:
    assert demo(DemoConfig(out=bare, quick=True, seed=3)) == bare / "report.txt"
    facts = json.loads((bare / "run.json").read_text())
    assert facts["command"] == "DemoConfig"
    assert facts["config"] == {
        "quick": True, "out": str(bare), "model": "dreamdrive-cpu",
        "agent": "dreamdrive-cpu-agent", "seed": 3,
    }  # fmt: skip


def test_other_settings_do_not_mix_into_a_folder(bare: Path) -> None:
    demo(DemoConfig(out=bare, quick=True))
    with pytest.raises(ConfigError, match=r"other settings.*Choose another --out"):
        demo(DemoConfig(out=bare, quick=False))
    with pytest.raises(ConfigError, match="other settings"):
        demo(DemoConfig(out=bare, quick=True, seed=1))
    assert demo(DemoConfig(out=bare, quick=True)) == bare / "report.txt"


def test_a_foreign_folder_is_left_alone(bare: Path) -> None:
    bare.mkdir()
    (bare / "run.json").write_text("[]")
    with pytest.raises(ConfigError, match="no demonstration"):
        demo(DemoConfig(out=bare))
    assert (bare / "run.json").read_text() == "[]"


def test_an_agent_of_another_tokenizer_is_refused_before_anything_begins(bare: Path) -> None:
    tiny_model().save_pretrained(bare.parent / "other")
    with pytest.raises(ConfigError, match="another tokenizer"):
        demo(DemoConfig(out=bare, model=bare.parent / "other"))
    assert not bare.exists()


def test_folders_and_sizes() -> None:
    assert DemoConfig(quick=True).folder == Path("runs/demo-quick")
    assert DemoConfig().folder == Path("runs/demo-full")
    assert DemoConfig(out=Path("x")).folder == Path("x")
    assert DemoConfig(quick=True).sizes is QUICK
    assert DemoConfig().sizes is FULL
    with pytest.raises(ConfigError, match="at least 0"):
        DemoConfig(seed=-1)


def test_the_promised_times() -> None:
    assert sum(QUICK.expected_s) <= 120
    assert sum(FULL.expected_s) <= 600
    assert all(full >= quick for full, quick in zip(FULL, QUICK, strict=True))


def test_the_evaluation_s_town_is_one_that_nothing_learns_from() -> None:
    assert TOWN in TEST_TOWNS


def test_there_are_the_seven_stages() -> None:
    for config in (DemoConfig(quick=True), DemoConfig()):
        assert [stage.name for stage in module._stages(config)] == [
            "serve", "collect", "worldmodel", "dream", "agent", "evaluate", "report",
        ]  # fmt: skip
