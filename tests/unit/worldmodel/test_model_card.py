"""The page beside a checkpoint: it says what the header says, and what the model cannot do."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dreamdrive import checkpoint
from dreamdrive.errors import StorageError
from dreamdrive.worldmodel.interface import Interface, VectorPart
from dreamdrive.worldmodel.model import SHIPPED, WorldModel
from dreamdrive.worldmodel.model_card import FILE, limits, model_card
from support.two_modes import two_mode_model


def test_it_is_written_beside_the_weights(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    two_mode_model().save_pretrained(
        folder, data=["data/a", "data/b"], frames=12_345, step=300, seconds=4000,
        scores={"psnr_gain_5": 7.25}, seed=3,
    )  # fmt: skip
    page = (folder / FILE).read_text()
    for line in (
        "* Episodes from: `data/a`, `data/b`.", "* Frames: 12,345.",
        "* Steps of the last run: 300.", "* Time of the last run: 1 h 7 min.",
        "| psnr_gain_5 | 7.25 |", "* seed: 3",
    ):  # fmt: skip
        assert line in page.splitlines()
    count = sum(p.numel() for p in two_mode_model().parameters())
    assert f"transformer, {count:,} parameters" in page
    assert json.loads((folder / "config.json").read_text())["frames"] == 12_345
    WorldModel.from_pretrained(folder)


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    page = model_card(two_mode_model(), {})
    assert page.count("Not recorded.") == 2
    assert "None are known" in page


def test_limits_follow_from_what_it_is() -> None:
    plain, told = two_mode_model(), two_mode_model(has_step_size=True)
    assert any("gives the mean" in limit for limit in limits(plain))
    assert any("1, 2, 4, 8, and in no other" in limit for limit in limits(told))
    assert any("last 2 frames (0.2 s)" in limit for limit in limits(plain))
    recurrent = WorldModel(replace(plain.config, kind="recurrent"))
    assert any("deterministic" in limit for limit in limits(recurrent))
    assert not any("last 2 frames" in limit for limit in limits(recurrent))


def test_of_another_environment_it_says_steps_and_no_seconds() -> None:
    plain = two_mode_model()
    assert "* A step: 0.1 s;" in model_card(plain, {})
    size = plain.config.action_size
    for repeat, said in ((1, "one of the environment"), (4, "4 of the environment")):
        interface = Interface(
            env_id="My-v0", vectors=(VectorPart(name="", shape=(1,), low=(0.0,), high=(1.0,)),),
            action_shape=(size,), action_low=(-1.0,) * size, action_high=(1.0,) * size,
            action_repeat=repeat,
        )  # fmt: skip
        config = replace(
            plain.config, interface=interface, vector_names=interface.vector_names, quantities=()
        )
        page = model_card(WorldModel(config), {})
        assert f"* A step: {said};" in page
        assert "last 2 frames;" in page


def test_page_and_weights_change_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    two_mode_model(0).save_pretrained(folder, step=1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(path: Path, data: bytes) -> None:
        raise StorageError("No space left on device")

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    with pytest.raises(StorageError):
        two_mode_model(1).save_pretrained(folder, step=2)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(tmp_path.iterdir()) == [folder]
    two_mode_model(1).save_pretrained(folder, step=2)
    assert "* Steps of the last run: 2." in (folder / FILE).read_text()


@pytest.mark.parametrize("folder", [p for p in SHIPPED.iterdir() if p.is_dir()], ids=str)
def test_what_ships_has_the_page_of_its_header(folder: Path) -> None:
    header = checkpoint.load_header(folder, "WorldModel")
    facts = {k: v for k, v in header.items() if k not in ("schema", "class", "config", "git")}
    expected = model_card(WorldModel.from_pretrained(folder), facts, header["git"])
    assert (folder / FILE).read_text() == expected
