"""World models in training: they learn, resume exactly, and stop before damage is done."""

import json
from dataclasses import replace

import pytest
import torch

from dreamdrive.errors import ConfigError, EpisodeError, KernelError
from dreamdrive.experiments.latent_table import LatentTable
from dreamdrive.experiments.train_tokenizer import (
    TrainTokenizerConfig,
    rare_rows,
    train_tokenizer,
)
from dreamdrive.experiments.train_worldmodel import (
    TrainWorldModelConfig,
    new_dynamics,
    train_worldmodel,
)
from dreamdrive.experiments.training_state import DivergedError, TrainingState
from dreamdrive.experiments.training_step import Ways, held_out_loss
from dreamdrive.experiments.truth import TruthConfig, truth
from dreamdrive.experiments.truth_measures import MeasureConfig
from dreamdrive.experiments.untrained import randomised_dynamics, untrained_dynamics
from dreamdrive.worldmodel.adversary import AdversaryConfig
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.jepa import JepaConfig
from dreamdrive.worldmodel.losses import LossConfig
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.state import LAG
from dreamdrive.worldmodel.tokenizer import TokenizerConfig, colour_index
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model


def tensors_of(folder):
    return WorldModel.from_pretrained(folder).state_dict()


def metrics_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_tokenizer_learns_and_leaves_statistics(tmp_path, episodes):
    config = TrainTokenizerConfig(
        data=episodes, out=tmp_path, steps=40, batch_size=4, window=2,
        tokenizer=TokenizerConfig(latent_channels=4, width=8, coarse_width=8),
    )  # fmt: skip
    model = WorldModel.from_pretrained(train_tokenizer(config))
    metrics = metrics_of(tmp_path)
    assert metrics[-1]["step"] == 40
    assert metrics[-1]["psnr"] > metrics[0]["psnr"] + 5.0
    assert float(model.vector_std[0]) > 0.5
    assert not torch.equal(model.latent_std, torch.ones(4))


def test_a_decoder_alone_goes_on_learning_and_draws_what_is_rarest(tmp_path, world, episodes):
    config = TrainTokenizerConfig(
        data=episodes, out=tmp_path, steps=30, batch_size=4, window=2, decoder_of=world,
        rare_share=0.5, tokenizer=TokenizerConfig(rarity_bound=300.0),
    )  # fmt: skip
    folder = train_tokenizer(config)
    before, after = tensors_of(world), tensors_of(folder)
    changed = {name.split(".")[1] for name, x in before.items() if not torch.equal(x, after[name])}
    decoder = {"from_latent", "time_out", "coarse_out", "up", "fine_out", "head"}
    assert changed == decoder | {"colour_weight"}
    assert float(after["tokenizer.colour_weight"].max()) > 20.0
    model = WorldModel.from_pretrained(folder)
    assert model.config.tokenizer.rarity_bound == 300.0
    assert model.config.tokenizer.width == WorldModel.from_pretrained(world).config.tokenizer.width
    assert (folder / "contexts.safetensors").is_file(), "it can no longer dream"
    metrics = metrics_of(tmp_path)
    assert metrics[-1]["psnr"] > metrics[0]["psnr"]


def test_the_frames_with_the_rarest_colours_are_found(episodes):
    model = tiny_model(lively=False)
    table = FrameTable.load(EpisodeStore(episodes), model.config.causes)
    table.image_NHWC[[7, 40], 5, 5] = torch.tensor([255, 0, 255], dtype=torch.uint8)
    model.tokenizer.fit_colour_weights(table.image_NHWC)
    model.tokenizer.colour_weight[colour_index(torch.tensor([1.0, 0.0, 1.0]).view(1, 3, 1, 1))] = 50
    assert rare_rows(model, table, 2).tolist() == [7, 40]
    assert rare_rows(model, table, 26).tolist() == []


def world_config(out, world, episodes, **fields):
    settings = {
        "data": (episodes,), "init": world, "out": out, "steps": 4, "batch_size": 4, "window": 5,
        "context": 2, "horizon": 3, "save_every": 2, "fine_tune": True,
    }  # fmt: skip
    return TrainWorldModelConfig(**(settings | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "rollout_share": 1.0, "loss": LossConfig(adversarial=0.5),
            "adversary": AdversaryConfig(dreams=4, between=1, judged=2, width=4, warmup=1),
        },
    ],
    ids=["usual", "judged"],
)  # fmt: skip
def test_a_killed_world_model_run_ends_as_an_unbroken_one(
    tmp_path, world, episodes, monkeypatch, fields
):
    def config(out):
        return world_config(out, world, episodes, **fields)

    # Untrained heads foresee an end at any time; dreams shall go on here.
    monkeypatch.setattr("dreamdrive.experiments.far_dreams.ENDED", 1.0)
    whole = train_worldmodel(config(tmp_path / "a"))
    update = TrainingState.update

    def dies(self, *args, **kwargs):
        if self.step == 3:
            raise KeyboardInterrupt
        return update(self, *args, **kwargs)

    with monkeypatch.context() as killed:
        killed.setattr(TrainingState, "update", dies)
        with pytest.raises(KeyboardInterrupt):
            train_worldmodel(config(tmp_path / "b"))
    resumed = train_worldmodel(config(tmp_path / "b"))
    if fields:
        last = metrics_of(tmp_path / "b")[-1]
        assert {"adversarial", "critic", "critic_right", "dream_age"} <= last.keys()
        assert last["dream_age"] == metrics_of(tmp_path / "a")[-1]["dream_age"] > 6
    expected, found = tensors_of(whole), tensors_of(resumed)
    assert any(not torch.equal(v, tensors_of(world)[k]) for k, v in expected.items())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=name)


def test_a_fused_training_learns_what_an_eager_one_does(tmp_path, world, episodes, monkeypatch):
    monkeypatch.setattr("dreamdrive.experiments.far_dreams.ENDED", 1.0)
    found = {}
    for engine in ("eager", "fused"):
        train_worldmodel(
            world_config(
                tmp_path / engine, world, episodes, rollout_share=1.0, engine=engine, steps=6,
                loss=LossConfig(adversarial=0.5),
                adversary=AdversaryConfig(dreams=4, between=1, judged=2, width=4, warmup=1),
            )
        )  # fmt: skip
        found[engine] = metrics_of(tmp_path / engine)
    names = ("loss", "latent", "vector", "reconstruction", "adversarial", "critic", "grad_norm")
    for name in names:
        eager, fused = ([row[name] for row in found[engine]] for engine in ("eager", "fused"))
        assert fused == pytest.approx(eager, rel=1e-3), name
        assert len(set(eager)) > 1, f"{name} stays as it is"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_is_held_out_is_measured_and_not_learned(
    tmp_path, world, episodes, tmp_path_factory, share
):
    other = save_tiny_episodes(tmp_path_factory.mktemp("held-out"), count=3, steps=14)
    found = []
    for number, held_out in enumerate(((), (other,), (episodes,))):
        folder = tmp_path / str(number)
        train_worldmodel(
            world_config(folder, world, episodes, rollout_share=share, held_out=held_out)
        )
        found.append((tensors_of(folder / "model"), metrics_of(folder)))
    (plain, _), (weights, rows), (_, learned_rows) = found
    assert all(torch.equal(weights[name], value) for name, value in plain.items())
    saved, learned = (
        [row for row in some if "held_out_cause" in row] for some in (rows, learned_rows)
    )
    assert [row["step"] for row in saved] == [2, 4]
    for name in ("flow", "vector", "reward") if share == 0.0 else ("latent", "reconstruction"):
        told = [row[f"held_out_{name}"] for row in saved]
        assert told[0] != told[1], f"{name} is that of other weights"
        assert told != [row[f"held_out_{name}"] for row in learned], "not of what is held out"
    model = WorldModel.from_pretrained(tmp_path / "1/model")
    config = world_config(tmp_path / "1", world, episodes, rollout_share=share)
    table = LatentTable(model, FrameTable.load(EpisodeStore(other), model.config.causes))
    saved_model = held_out_loss(model, table, config, 4, Ways.of(model, config))
    assert {name: rows[-1][name] for name in saved_model} == pytest.approx(saved_model, rel=1e-5)


def test_episodes_that_are_too_short_to_be_held_out_are_refused_at_once(
    tmp_path, world, episodes, tmp_path_factory
):
    short = save_tiny_episodes(tmp_path_factory.mktemp("short"), count=2, steps=3)
    config = world_config(tmp_path, world, episodes, held_out=(short,))
    with pytest.raises(EpisodeError, match="No episode has 5 frames"):
        train_worldmodel(config)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_what_cannot_be_fused_is_said_where_it_is_asked_for(tmp_path, world, episodes):
    config = world_config(
        tmp_path, world, episodes, kind="recurrent", fine_tune=False, engine="fused"
    )
    with pytest.raises(KernelError, match="models of the kind recurrent"):
        train_worldmodel(config)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_training_of_one_phase_ends_as_others_do(tmp_path, world, episodes, share):
    config = world_config(tmp_path, world, episodes)
    folder = train_worldmodel(replace(config, rollout_share=share))
    last = metrics_of(tmp_path)[-1]
    assert last["step"] == config.steps
    assert ("flow" in last) == (share == 0.0)
    assert folder.is_dir()


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_new_dynamics_keep_the_tokenizer(tmp_path, world, episodes, kind):
    folder = train_worldmodel(
        world_config(tmp_path, world, episodes, fine_tune=False, kind=kind, steps=2)
    )
    model = WorldModel.from_pretrained(folder)
    assert model.config.kind == kind
    for name, value in tensors_of(world).items():
        if name.startswith("tokenizer."):
            torch.testing.assert_close(model.state_dict()[name], value)


def test_latents_are_as_the_tokenizer_gives_them_where_that_is_asked_for(world, episodes):
    init = WorldModel.from_pretrained(world)
    init.latent_mean.fill_(0.5)
    init.latent_std.fill_(2.0)
    table = FrameTable.load(EpisodeStore(episodes), init.config.causes)
    plain, raw = (
        LatentTable(new_dynamics(init, init.config, 0, normalise_latents=is_on), table, [0])
        for is_on in (True, False)
    )
    rows = plain.decision_rows()
    torch.testing.assert_close(
        raw.latent_N[rows].float(), plain.latent_N[rows].float() * 2.0 + 0.5, atol=2e-3, rtol=2e-3
    )


def test_every_term_of_the_loss_is_logged_by_its_name_and_none_ships(tmp_path, world, episodes):
    def config(out, **fields):
        loss = LossConfig(jepa=0.05, consistency=0.1)
        small = JepaConfig(features=4, width=8, ahead=1)
        return world_config(out, world, episodes, loss=loss, jepa=small, **fields)

    whole = train_worldmodel(config(tmp_path / "a"))
    flow, rollout = metrics_of(tmp_path / "a")[0], metrics_of(tmp_path / "a")[-1]
    assert {"loss", "flow", "jepa", "jepa_guard", "jepa_spread", "jepa_rank"} <= flow.keys()
    assert {"reconstruction", "consistency", "jepa", "teacher_forcing"} <= rollout.keys()
    assert not any("jepa" in name for name in tensors_of(whole))
    with pytest.raises(ConfigError, match="recurrent"):
        train_worldmodel(config(tmp_path / "c", fine_tune=False, kind="recurrent"))


def test_dynamics_that_never_dream_in_training_have_nothing_to_judge(tmp_path, world, episodes):
    config = world_config(
        tmp_path, world, episodes, fine_tune=False, kind="rssm", loss=LossConfig(adversarial=0.1)
    )
    with pytest.raises(ConfigError, match="rssm"):
        train_worldmodel(config)


def test_a_loss_that_is_not_finite_stops_before_the_weights_change():
    module = torch.nn.Linear(2, 2)
    state = TrainingState(module, learning_rate=1.0, steps=10, seed=0)
    before = module.weight.detach().clone()
    with pytest.raises(DivergedError, match="nan"):
        state.update(module(torch.ones(1, 2)).sum() * float("nan"))
    assert torch.equal(module.weight, before)
    assert state.step == 0


def test_a_gradient_that_is_not_finite_stops_and_the_last_save_is_intact(tmp_path):
    module = torch.nn.Linear(2, 2)
    state = TrainingState(module, learning_rate=1e-3, steps=10, seed=0)
    state.update(module(torch.ones(1, 2)).sum())
    state.save(tmp_path / "training", {})
    saved = {name: value.clone() for name, value in module.state_dict().items()}
    # The root has a finite value and an infinite slope at 0.
    with pytest.raises(DivergedError, match=r"gradient is (inf|nan)"):
        state.update((module(torch.ones(1, 2)) * 0.0).abs().sqrt().sum())
    again = torch.nn.Linear(2, 2)
    resumed = TrainingState(again, learning_rate=1e-3, steps=10, seed=0)
    assert resumed.restore(tmp_path / "training")
    assert resumed.step == state.step == 1
    for name, value in saved.items():
        assert torch.equal(module.state_dict()[name], value)
        assert torch.equal(again.state_dict()[name], value)


def test_a_latent_table_shows_what_an_agent_saw_on_the_way(world, episodes):
    model = WorldModel.from_pretrained(world)
    table = FrameTable.load(EpisodeStore(episodes), model.config.causes)
    data = LatentTable(model, table)
    start, length = int(table.start_E[1]), int(table.length_E[1])
    state = model.init_state(1)
    for row in range(start, start + length):
        action = table.action_NA[row, None] if row > start else None
        latent = data.latent_N[row, None].float()
        state = model.observe_latent(state, latent, table.vector_NK[row, None], action)
        torch.testing.assert_close(data.seen(torch.tensor([row])), state.seen)
    assert length > LAG + 1


def test_controls_know_nothing_of_the_dynamics(world, episodes):
    model = tiny_model(1)
    random, plain = randomised_dynamics(model), untrained_dynamics(model)
    state = model.init_state(2)._replace(latent_BCHW=torch.randn(2, 4, 8, 8))
    noise = (torch.zeros(2, 4, 8, 8), torch.zeros(2, 14))
    action = torch.full((2, 2), 0.5)
    _, repeated = plain.imagine_step(state, action, noise=noise)
    torch.testing.assert_close(repeated.latent_BCHW, state.latent_BCHW)
    _, shuffled = random.imagine_step(state, action, noise=noise)
    _, trained = model.imagine_step(state, action, noise=noise)
    assert not torch.allclose(shuffled.latent_BCHW, trained.latent_BCHW)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(
            random.state_dict()[name].flatten().sort()[0], value.flatten().sort()[0]
        )


def test_the_truth_table_has_its_controls(tmp_path, world, tmp_path_factory):
    episodes = save_tiny_episodes(tmp_path_factory.mktemp("long"), count=4, steps=60)
    measures = MeasureConfig(num_windows=6, num_event_windows=8, context=4)
    config = TruthConfig(model=(f"ours={world}",), data=(episodes,), out=tmp_path, measure=measures)
    content = json.loads((truth(config) / "truth.json").read_text())
    assert list(content["models"]) == ["ours", "ours, 4 steps", "untrained", "randomised"]
    row = content["models"]["untrained"]
    assert row["shuffled_ratio_5"] == pytest.approx(1.0, abs=1e-6)
    assert row["shuffled_vector_ratio_5"] == pytest.approx(1.0, abs=1e-6)
    assert row["psnr_5"] == pytest.approx(row["psnr_copy_5"] + row["psnr_gain_5"])
    assert row["pedal_speed_rank_real"] == pytest.approx(1.0)
    assert row["pedal_speed_rank"] != row["pedal_speed_rank_real"]


def test_the_truth_measures_more_where_it_is_asked_to(tmp_path, world, tmp_path_factory):
    episodes = save_tiny_episodes(tmp_path_factory.mktemp("long"), count=2, steps=30)
    config = TruthConfig(
        model=(f"ours={world}",), data=(episodes,), out=tmp_path, also=("steering",), usual=False,
        sampling_steps=(2, 8), measure=MeasureConfig(num_windows=4, context=4),
    )  # fmt: skip
    rows = json.loads((truth(config) / "truth.json").read_text())["models"]
    assert list(rows) == ["ours", "ours, 2 steps", "ours, 8 steps", "untrained", "randomised"]
    assert rows["ours"]["acceleration_slope_recorded"] == pytest.approx(3.0)
    assert rows["untrained"]["acceleration_slope"] == pytest.approx(0.0, abs=1e-6)
    assert "psnr_5" not in rows["ours"]
