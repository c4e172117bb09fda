import json
from pathlib import Path

import pytest
import torch

from dreamdrive import checkpoint
from dreamdrive.checkpoint import load_header, load_tensors, save_checkpoint
from dreamdrive.errors import CheckpointError, StorageError

CONFIG = {"width": 4, "names": ["a", "b"]}
WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.tensor([1.0, -2.0])}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    save_checkpoint(path, "Thing", CONFIG, {"model": WEIGHTS}, step=7)
    return path


def test_what_is_saved_is_read(folder: Path) -> None:
    header = load_header(folder, "Thing")
    assert header["config"] == CONFIG
    assert header["step"] == 7
    assert header["schema"] == checkpoint.SCHEMA
    found = load_tensors(folder, "model")
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_a_tensor_that_is_a_view_is_stored_by_value(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    save_checkpoint(tmp_path / "m", "Thing", {}, {"model": {"column": whole.T[1]}})
    assert load_tensors(tmp_path / "m", "model")["column"].tolist() == [1.0, 5.0, 9.0]


def test_whoever_may_read_the_header_may_read_the_weights(folder: Path) -> None:
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1


def test_saving_again_replaces_all_of_it(folder: Path) -> None:
    save_checkpoint(folder, "Thing", CONFIG, {"other": {"x": torch.ones(1)}}, step=8)
    assert load_header(folder, "Thing")["step"] == 8
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "other.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"], "nothing is left aside"


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint here.*config\.json"):
        load_header(tmp_path / "none", "Thing")


def test_another_schema(folder: Path) -> None:
    header = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(header | {"schema": 99}))
    with pytest.raises(CheckpointError, match=r"schema 99, this version reads 1.*train again"):
        load_header(folder, "Thing")


def test_another_class(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="a checkpoint of Thing, not of WorldModel"):
        load_header(folder, "WorldModel")


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 1, "class": "Thing"}'])
def test_a_broken_header(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="header is broken"):
        load_header(folder, "Thing")


def test_a_file_of_tensors_is_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"is missing.*model\.safetensors"):
        load_tensors(folder, "model")


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_a_truncated_file_of_tensors(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"truncated or damaged.*train it again"):
        load_tensors(folder, "model")


def test_a_full_disk_keeps_the_old_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise StorageError("Could not write: No space left on device", where=path)

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    with pytest.raises(StorageError, match=r"No space left on device.*model\)\. Free some space"):
        save_checkpoint(folder, "Thing", CONFIG, {"model": WEIGHTS}, step=8)
    monkeypatch.undo()
    assert load_header(folder, "Thing")["step"] == 7
    assert torch.equal(load_tensors(folder, "model")["layer.bias"], WEIGHTS["layer.bias"])
    assert [path.name for path in folder.parent.iterdir()] == ["model"], "nothing is left aside"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Could not write the checkpoint"):
        save_checkpoint(tmp_path / "file" / "model", "Thing", CONFIG, {"model": WEIGHTS})
