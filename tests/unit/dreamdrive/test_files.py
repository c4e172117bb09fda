import errno
import os
from pathlib import Path

import pytest

from dreamdrive.errors import StorageError
from dreamdrive.files import write_atomically


def test_it_makes_the_folder_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["b.json"]


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        write_atomically(path, b"new")
    assert caught.value.where == str(path)
    assert "Free some space" in caught.value.do
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["b.json"], "nothing is left aside"


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(StorageError, match="Could not write"):
        write_atomically(tmp_path / "a" / "b.json", b"new")
    assert (tmp_path / "a").read_text() == "in the way"
