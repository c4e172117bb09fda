"""Every option of the tokenizer: streams equal clips, nothing looks ahead, it learns and loads."""

from dataclasses import replace

import pytest
import torch

from dreamdrive.config import from_dict, to_dict
from dreamdrive.errors import ConfigError, KernelError
from dreamdrive.experiments.train_tokenizer import TrainTokenizerConfig, train_tokenizer
from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig, train_worldmodel
from dreamdrive.worldmodel.causal_conv import CausalTimeConv
from dreamdrive.worldmodel.engine import build_step
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.tokenizer import Tokenizer, TokenizerConfig
from dreamdrive.worldmodel.vivit import ViViTConfig
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model

BASE = TokenizerConfig(image_size=16, width=8, coarse_width=8)
VIVIT = ViViTConfig(num_time_layers=2, num_heads=2, window=3)
OPTIONS = {
    "defaults": {},
    "tanh": {"bottleneck": "tanh"},
    "dilated": {"dilations": (1, 2, 4)},
    "dilated from the first": {"dilations": (3,)},
    "stride 2": {"time_stride": 2},
    "stride 4, dilated": {"time_stride": 4, "dilations": (1, 2)},
    "vivit": {"encoder": "vivit", "vivit": VIVIT},
    "vivit, stride 2": {"encoder": "vivit", "vivit": VIVIT, "time_stride": 2},
    "vivit of cubes, tanh": {
        "encoder": "vivit", "vivit": VIVIT, "time_stride": 8, "bottleneck": "tanh",
    },
}  # fmt: skip
every_option = pytest.mark.parametrize("name", OPTIONS)


def tokenizer(name: str) -> Tokenizer:
    torch.manual_seed(0)
    made = Tokenizer(replace(BASE, **OPTIONS[name]))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval().requires_grad_(False)


def clip(groups: int, stride: int) -> torch.Tensor:
    shape = (2, groups * stride, 3, 16, 16)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@every_option
def test_a_stream_equals_the_whole_clip(name: str) -> None:
    made = tokenizer(name)
    s, groups = made.config.time_stride, 12
    image = clip(groups, s)
    whole, last = made.posterior(image)
    shown, _ = made.decode(whole.mean)
    assert whole.mean.shape == (2, groups, 8, 2, 2)
    assert shown.shape == image.shape
    encoder, decoder = made.encoder_cache(2, image), made.decoder_cache(2, image)
    unseen = decoder
    for t in range(groups):
        frames = slice(t * s, (t + 1) * s)
        one, encoder = made.posterior(image[:, frames], encoder)
        torch.testing.assert_close(one.mean[:, 0], whole.mean[:, t], atol=1e-5, rtol=1e-5)
        picture, decoder = made.decode(one.mean, decoder)
        torch.testing.assert_close(picture, shown[:, frames], atol=1e-5, rtol=1e-5)
        unseen = made.passed(one.mean[:, 0], unseen)
    torch.testing.assert_close(encoder, last, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(unseen, decoder, atol=1e-5, rtol=1e-5)


@every_option
def test_a_later_frame_changes_no_earlier_latent_and_no_earlier_picture(name: str) -> None:
    made = tokenizer(name)
    s = made.config.time_stride
    image = clip(8, s)
    changed = image.clone()
    changed[:, 3 * s] = 1.0 - changed[:, 3 * s]
    before, after = (made.posterior(x)[0].mean for x in (image, changed))
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3], after[:, 3], atol=1e-3)
    later = after[:, 4:] - before[:, 4:]
    assert bool(later.any()), "what was seen has an effect on what comes"
    moved = before.clone()
    moved[:, 3] += 1.0
    shown, other = (made.decode(z)[0] for z in (before, moved))
    torch.testing.assert_close(shown[:, : 3 * s], other[:, : 3 * s], atol=0.0, rtol=0.0)
    assert not torch.allclose(shown[:, 3 * s :], other[:, 3 * s :], atol=1e-3)


def test_dilated_convolutions_reach_as_far_as_they_say() -> None:
    conv = CausalTimeConv(1, kernel=3, dilation=2)
    conv.mix.weight.data = torch.tensor([[100.0, 10.0, 1.0]])
    conv.mix.bias.data.zero_()
    x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).view(1, 5, 1, 1, 1)
    out, cache = conv(x)
    assert out.flatten().tolist() == [1.0, 2.0, 13.0, 24.0, 135.0]
    assert cache.flatten().tolist() == [2.0, 3.0, 4.0, 5.0]
    single, after = conv.step(x[:, 4], x[:, :4])
    assert single.flatten().tolist() == [135.0]
    assert torch.equal(after, cache)


def test_tubelets_are_as_many_as_cubes_fit() -> None:
    made = Tokenizer(replace(BASE, image_size=32, **OPTIONS["vivit of cubes, tanh"]))
    T, H, W, P = 16, 32, 32, 8
    tokens = made.tubelets(torch.rand(1, T, 3, H, W))
    assert tokens.shape[1] * tokens.shape[3] * tokens.shape[4] == T * H * W // P**3
    # Each is made of its own pixels alone before it attends to others.
    image = torch.zeros(1, 8, 3, 16, 16)
    image[:, :, :, 8:, :8] = 1.0
    plain = tokenizer("vivit of cubes, tanh").tubelets
    plain.space = torch.nn.ModuleList()
    gap = (plain(image) - plain(torch.zeros_like(image)))[0, 0].abs().sum(0)
    assert gap[1, 0] > 0.0
    assert gap.flatten().tolist().count(0.0) == 3


def test_a_tanh_bounds_latents_and_leaves_no_chance() -> None:
    made = tokenizer("tanh")
    posterior, _ = made.posterior(10.0 * clip(3, 1))
    assert 0.5 < float(posterior.mean.abs().max()) <= 1.0
    assert torch.equal(posterior.sample(torch.Generator().manual_seed(0)), posterior.mean)
    _, parts = made.loss(clip(2, 1), torch.Generator().manual_seed(0))
    assert parts.keys() == {"reconstruction", "psnr"}


@pytest.mark.parametrize("name", ["defaults", "tanh", "stride 4, dilated", "vivit"])
def test_a_few_steps_of_training_bring_the_loss_down(name: str) -> None:
    torch.manual_seed(0)
    made = Tokenizer(replace(BASE, width=16, coarse_width=16, **OPTIONS[name]))
    generator = torch.Generator().manual_seed(0)
    s = made.config.time_stride
    colour = torch.rand(4, 1, 3, 1, 1, generator=generator)
    image = colour.expand(4, s, 3, 16, 16).clone()
    optimizer = torch.optim.Adam(made.parameters(), 4e-3)
    losses = []
    for _ in range(30):
        loss, _ = made.loss(image, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", ["dilated", "vivit"])
def test_a_model_dreams_with_it_and_comes_back_from_a_file(name: str, tmp_path) -> None:
    small = replace(tiny_model().config.tokenizer, **OPTIONS[name])
    model = WorldModel(replace(tiny_model().config, tokenizer=small)).eval()
    model.save_pretrained(tmp_path / "m")
    loaded = WorldModel.from_pretrained(tmp_path / "m")
    assert loaded.config == model.config
    image = torch.rand(1, 9, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    vector = torch.zeros(1, model.config.vector_size)
    state = model.init_state(1)
    with torch.no_grad():
        whole = loaded.encode(image)
        shown = loaded.decode(whole)
        for t in range(9):
            state = loaded.observe(state, image[:, t], vector, torch.zeros(1, 2) if t else None)
            torch.testing.assert_close(state.latent_BCHW, whole[:, t], atol=1e-5, rtol=1e-5)
        again = state._replace(decoder_cache=loaded.init_state(1).decoder_cache)
        for t in range(9):
            picture, again = loaded.decode_step(again._replace(latent_BCHW=whole[:, t]))
        torch.testing.assert_close(picture, shown[:, -1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(again.decoder_cache, state.decoder_cache, atol=1e-5, rtol=1e-5)
    if name == "dilated":
        with pytest.raises(KernelError, match="default dilations"):
            build_step(loaded, 1, "fused")


def test_a_tokenizer_of_clips_is_trained_and_refused_where_one_dreams(tmp_path) -> None:
    data = save_tiny_episodes(tmp_path / "episodes", count=2, steps=40)
    sizes = TokenizerConfig(
        latent_channels=2, width=4, coarse_width=8, encoder="vivit", vivit=VIVIT, time_stride=4
    )
    config = TrainTokenizerConfig(
        data=data, out=tmp_path / "run", steps=2, batch_size=2, tokenizer=sizes
    )
    folder = train_tokenizer(config)
    model = WorldModel.from_pretrained(folder)
    latent = model.encode(torch.rand(1, 8, 3, 64, 64))
    assert latent.shape == (1, 2, 2, 8, 8)
    assert model.decode(latent).shape == (1, 8, 3, 64, 64)
    assert "cannot dream" in (folder / "README.md").read_text()
    with pytest.raises(ConfigError, match="no multiple of the time stride 4"):
        model.encode(torch.rand(1, 6, 3, 64, 64))
    with pytest.raises(ConfigError, match="cannot dream"):
        model.init_state(1)
    with pytest.raises(ConfigError, match="cannot dream"):
        train_worldmodel(TrainWorldModelConfig(data=(data,), init=folder, out=tmp_path / "w"))
    assert not (tmp_path / "w").exists()
    with pytest.raises(ValueError, match="multiple of the time stride"):
        replace(config, window=6)


def test_options_survive_a_file_an_old_file_has_none_and_wrong_ones_are_refused() -> None:
    for options in OPTIONS.values():
        config = replace(BASE, **options)
        assert from_dict(TokenizerConfig, to_dict(config)) == config
    assert from_dict(TokenizerConfig, {}) == TokenizerConfig()
    for wrong, words in (
        ({"time_stride": 3}, "time_stride"), ({"time_stride": 8}, "time_stride"),
        ({"dilations": ()}, "dilations"), ({"dilations": (0,)}, "dilations"),
        ({"encoder": "vivit", "coarse_width": 6}, "num_heads"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            replace(BASE, **wrong)
    with pytest.raises(ValueError, match="window"):
        ViViTConfig(window=1)
