import errno
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamdrive.errors import EpisodeError, StorageError
from dreamdrive.worldmodel import episodes
from dreamdrive.worldmodel.episodes import (
    Episode,
    EpisodeStore,
    FrameTable,
    load_episode,
    save_episode,
)

CAUSES = ("", "crash", "time_limit")


def make_episode(steps: int, *, cause: int = 0, first: int = 0) -> Episode:
    """An episode whose every number tells its own time step."""
    at = np.arange(first, first + steps)
    end = np.arange(steps) == steps - 1
    return Episode(
        image=np.arange(first, first + steps + 1, dtype=np.uint8)[:, None, None, None]
        * np.ones((1, 8, 8, 3), np.uint8),
        state=np.arange(first, first + steps + 1, dtype=np.float32)[:, None] * np.ones((1, 2)),
        action=at[:, None].astype(np.float32) * np.ones((1, 2), np.float32) / 100,
        reward=at.astype(np.float32) + 1,
        terminated=end & (cause == 1),
        truncated=end & (cause == 2),
        cause=np.where(end, cause, 0).astype(np.uint8),
        cost=np.zeros((steps, 1), np.float32),
        meta={"causes": list(CAUSES), "driver": "test"},
    )


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = make_episode(5, cause=1)
    save_episode(tmp_path / "a", saved)
    loaded = load_episode(tmp_path / "a")
    for name in ("image", "state", "action", "reward", "terminated", "truncated", "cause", "cost"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    assert loaded.meta == saved.meta


def test_transitions_hold_the_outcome_beside_the_decision() -> None:
    td = make_episode(5, cause=1).transitions()
    assert td.batch_size == (5,)
    assert td["observation", "state"][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert td["next", "observation", "state"][:, 0].tolist() == [1, 2, 3, 4, 5]
    assert td["next", "reward"][:, 0].tolist() == [1, 2, 3, 4, 5]
    assert td["next", "terminated"][:, 0].tolist() == [False] * 4 + [True]
    assert td["next", "done"][:, 0].tolist() == [False] * 4 + [True]


def test_a_table_puts_a_decision_at_its_outcome(tmp_path: Path) -> None:
    save_episode(tmp_path / "a", make_episode(5, cause=1))
    save_episode(tmp_path / "b", make_episode(3, cause=2, first=10))
    table = FrameTable.load(EpisodeStore(tmp_path), ("crash",))
    assert table.vector_NK[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 10, 11, 12, 13]
    assert table.reward_N.tolist() == [0, 1, 2, 3, 4, 5, 0, 11, 12, 13]
    assert torch.allclose(table.action_NA[:3, 0], torch.tensor([0.0, 0.0, 0.01]))
    assert table.cause_N.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0], "a time-out is no death"


def test_windows_stay_within_one_episode_and_reach_every_start(tmp_path: Path) -> None:
    save_episode(tmp_path / "a", make_episode(5, cause=1))
    save_episode(tmp_path / "b", make_episode(3, cause=2, first=10))
    table = FrameTable.load(EpisodeStore(tmp_path), ("crash",))
    rows = table.windows(400, 4, torch.Generator().manual_seed(0))
    assert set(rows[:, 0].tolist()) == {0, 1, 2, 6}
    assert (rows.diff(dim=1) == 1).all()
    ending = table.windows(8, 4, torch.Generator().manual_seed(0), ending=0.5)
    assert ending[:4, -1].tolist() == [5, 5, 5, 5], "the crash's last frame"


def test_oversampling_is_how_much_more_often_windows_end_in_a_termination(tmp_path: Path) -> None:
    save_episode(tmp_path / "a", make_episode(5, cause=1))
    save_episode(tmp_path / "b", make_episode(3, cause=2, first=10))
    table = FrameTable.load(EpisodeStore(tmp_path), ("crash",))
    # One of 8 decisions is terminated; one of 4 windows shows it, in one of its 3 decisions.
    assert table.oversampling(4, 0.0) == pytest.approx((1 / 4) / 3 / (1 / 8))
    assert table.oversampling(4, 0.5) == pytest.approx((0.5 + 0.5 / 4) / 3 / (1 / 8))
    rows = table.windows(4000, 4, torch.Generator().manual_seed(0), ending=0.5)
    shown = (table.cause_N[rows[:, 1:]] > 0).float().mean()
    assert float(shown) * 8 == pytest.approx(table.oversampling(4, 0.5), rel=0.05)


def test_without_terminations_nothing_is_oversampled(tmp_path: Path) -> None:
    save_episode(tmp_path / "a", make_episode(5))
    table = FrameTable.load(EpisodeStore(tmp_path), ("crash",))
    assert table.oversampling(3, 0.3) == 1.0


def test_no_window_longer_than_every_episode(tmp_path: Path) -> None:
    save_episode(tmp_path / "a", make_episode(3))
    table = FrameTable.load(EpisodeStore(tmp_path), ())
    with pytest.raises(EpisodeError, match="No episode has 5 frames"):
        table.windows(1, 5, torch.Generator())


@pytest.mark.parametrize("name", ["frames/image.memmap", "decisions/reward.memmap"])
def test_a_file_cut_short_is_named(tmp_path: Path, name: str) -> None:
    save_episode(tmp_path / "a", make_episode(5))
    path = tmp_path / "a" / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(EpisodeError, match="cut short") as caught:
        load_episode(tmp_path / "a")
    assert str(tmp_path / "a") in str(caught.value)


def test_a_missing_header_is_an_error_and_a_half_written_episode_is_not_listed(
    tmp_path: Path,
) -> None:
    save_episode(tmp_path / "a", make_episode(5))
    save_episode(tmp_path / ".b.1234.tmp", make_episode(5))
    assert len(EpisodeStore(tmp_path)) == 1
    (tmp_path / "a" / "episode.json").write_text("{")
    with pytest.raises(EpisodeError, match="damaged"):
        load_episode(tmp_path / "a")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_episode(tmp_path / "a", make_episode(5))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(episodes.TensorDict, "memmap", full)
    with pytest.raises(StorageError, match="No space left"):
        save_episode(tmp_path / "b", make_episode(5))
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_rows_must_fit() -> None:
    good = make_episode(3)
    with pytest.raises(EpisodeError, match="'state' has 3 rows, expected 4"):
        Episode(**{**_fields(good), "state": good.state[:-1]})
    bad = good.reward.copy()
    bad[1] = np.nan
    with pytest.raises(EpisodeError, match="'reward' holds a number that is not finite"):
        Episode(**{**_fields(good), "reward": bad})


def _fields(episode: Episode) -> dict[str, object]:
    return {name: getattr(episode, name) for name in Episode.__dataclass_fields__}
