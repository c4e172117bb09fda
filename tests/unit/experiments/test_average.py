from pathlib import Path

import pytest
import torch

from dreamdrive.checkpoint import load_facts
from dreamdrive.errors import CheckpointError
from dreamdrive.experiments.average import AverageConfig, average
from dreamdrive.experiments.cli import main
from dreamdrive.worldmodel.model import WorldModel
from support.tiny_world import save_tiny_world, tiny_contexts, tiny_model


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A model, and one with other dynamics and heads on the same tokenizer."""
    first, second = tiny_model(0), tiny_model(1)
    own = {name: x for name, x in second.state_dict().items() if name[0] in "dh"}
    assert {name.partition(".")[0] for name in own} == {"dynamics", "heads"}
    second.load_state_dict(first.state_dict() | own)
    for model, name in ((first, "first"), (second, "second")):
        model.save_pretrained(tmp_path / name, data=[f"data/{name}"], scores={"psnr": 1.0})
        tiny_contexts(seed=len(name)).save(tmp_path / name)
    return tmp_path / "first", tmp_path / "second"


def test_learned_weights_are_means_and_the_rest_stays(pair, tmp_path):
    found = average(
        AverageConfig(models=tuple(map(str, pair)), shares=(0.25, 0.75), out=tmp_path / "mean")
    )
    first, second, mean = (
        WorldModel.from_pretrained(folder).state_dict() for folder in (*pair, found)
    )
    for name, value in mean.items():
        if name.startswith(("dynamics.", "heads.")):
            torch.testing.assert_close(value, 0.25 * first[name] + 0.75 * second[name])
        else:
            assert torch.equal(value, first[name]), name
    assert any(not torch.equal(mean[name], first[name]) for name in mean)
    contexts = "contexts.safetensors"
    assert (found / contexts).read_bytes() == (pair[1] / contexts).read_bytes()
    assert (found / contexts).read_bytes() != (pair[0] / contexts).read_bytes()
    facts = load_facts(found, "WorldModel")
    assert facts == {
        "data": ["data/second"], "averaged": {str(pair[0]): 0.25, str(pair[1]): 0.75},
    }  # fmt: skip
    assert "averaged" in (found / "README.md").read_text()


def test_models_that_did_not_begin_as_one_are_refused(pair, tmp_path):
    other = save_tiny_world(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match="latents mean something else"):
        average(
            AverageConfig(
                models=(str(pair[0]), str(other)), shares=(0.5, 0.5), out=tmp_path / "mean"
            )
        )
    assert not (tmp_path / "mean/model").exists()


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.6), (0.5, 0.25, 0.25)])
def test_shares_that_do_not_fit_are_refused(shares):
    with pytest.raises(ValueError, match="share"):
        AverageConfig(models=("a", "b"), shares=shares)


def test_the_command_says_what_is_missing(tmp_path, capsys):
    words = [
        "average",
        "--models",
        str(tmp_path / "a"),
        str(tmp_path / "b"),
        "--shares",
        ".5",
        ".5",
    ]
    assert main(words) == 2
    assert str(tmp_path / "a") in capsys.readouterr().err
