"""docs/your-own-data.md, run as a reader would run it, with fewer episodes and steps."""

import re
import shlex
import warnings
from pathlib import Path

import pytest

from dreamdrive.experiments.cli import main
from dreamdrive.worldmodel.episodes import EpisodeStore

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "your-own-data.md").read_text()
LESS = {
    "collect": {"--episodes": "2", "--workers": "1", "--pictures": "none", "--max-steps": "50"},
    "train tokenizer": {"--steps": "2"},
    "train worldmodel": {"--steps": "4"},
    "truth": {"--measure.num-windows": "4"},
    "train agent": {"--updates": "1", "--batch-size": "2", "--num-starts": "8"},
    "evaluate": {"--episodes": "1", "--workers": "1", "--pictures": "none", "--max-steps": "20"},
}


def commands() -> list[list[str]]:
    lines = PAGE.splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("dreamdrive ")]


def lessened(words: list[str]) -> list[str]:
    """Returns a command with smaller numbers; whatever else it says stays."""
    name = next(name for name in LESS if " ".join(words).startswith(name))
    words = list(words)
    for option, value in LESS[name].items():
        if option in words:
            words[words.index(option) + 1] = value
        else:
            words += [option, value]
    return words


def test_the_page_is_true_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = commands()
    assert len(asked) == 7
    for words in asked:
        assert main(lessened(words)) == 0, words
    steer, record = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(steer, "your-own-data.md", "exec"), {})
        exec(compile(record, "your-own-data.md", "exec"), {})
    episode = EpisodeStore(tmp_path / "data/robot")[0]
    assert episode.meta["interface"]["env_id"] == "my-robot"
    small = ["train", "tokenizer", "--data", "data/robot", "--out", "runs/robot", "--steps", "1"]
    assert main(small) == 0
