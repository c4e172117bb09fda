import pytest
import torch

from dreamdrive.worldmodel.causal_conv import CausalTimeConv
from dreamdrive.worldmodel.tokenizer import Tokenizer, TokenizerConfig, colour_index


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_one_frame_by_a_kernel_equals_one_frame(backend: str) -> None:
    if backend == "triton":
        pytest.importorskip("triton")
    torch.manual_seed(0)
    layer = CausalTimeConv(6).requires_grad_(False)
    cache = layer.init_cache(2, 3, 4, torch.zeros(1))
    for _ in range(4):
        x = torch.randn(2, 6, 3, 4)
        out, after = layer.step(x, cache, backend=backend)
        expected, cache = layer(x[:, None], cache)
        torch.testing.assert_close(out, expected[:, 0], atol=1e-5, rtol=1e-5)
        assert torch.equal(after, cache)


def test_shapes_are_an_eighth() -> None:
    tokenizer = Tokenizer(TokenizerConfig(image_size=64, latent_channels=8))
    posterior, _ = tokenizer.posterior(torch.rand(1, 2, 3, 64, 64))
    assert posterior.mean.shape == (1, 2, 8, 8, 8)
    assert tokenizer.decode(posterior.mean)[0].shape == (1, 2, 3, 64, 64)


@pytest.mark.parametrize("stride", [1, 2])
def test_only_what_is_shown_is_drawn_and_it_is_the_same(stride: int) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(TokenizerConfig(image_size=16, time_stride=stride))
    latent = torch.randn(2, 5, tokenizer.config.latent_channels, 2, 2)
    with torch.no_grad():
        (whole, cache), (last, cache_too) = (
            tokenizer.decode(latent, shown=shown) for shown in (None, 3)
        )
    assert last.shape[1] == 3 * stride
    torch.testing.assert_close(last, whole[:, 2 * stride :])
    assert torch.equal(cache, cache_too)


def test_time_convolution_equals_a_hand_computed_sum() -> None:
    conv = CausalTimeConv(1, kernel=3)
    conv.mix.weight.data = torch.tensor([[100.0, 10.0, 1.0]])
    conv.mix.bias.data.zero_()
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1, 1)
    out, cache = conv(x)
    assert out.flatten().tolist() == [1.0, 12.0, 123.0, 234.0]
    assert cache.flatten().tolist() == [3.0, 4.0]


def test_rare_colours_weigh_more_and_weights_average_one() -> None:
    tokenizer = Tokenizer(TokenizerConfig(image_size=16, rarity_power=0.5))
    frames = torch.zeros(1, 10, 10, 3, dtype=torch.uint8)
    frames[0, 0, :4] = 255
    tokenizer.fit_colour_weights(frames)
    dark, bright = tokenizer.colour_weight[0], tokenizer.colour_weight[-1]
    assert float(bright / dark) == pytest.approx((0.96 / 0.04) ** 0.5, rel=1e-4)
    assert float(0.96 * dark + 0.04 * bright) == pytest.approx(1.0, abs=1e-3)


def test_colour_bins_have_their_own_numbers() -> None:
    pixels = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.13, 0.26]])
    index = colour_index(pixels.T[None, :, None])
    assert index.flatten().tolist() == [0, 511, 0 * 64 + 1 * 8 + 2]


def test_kl_of_the_unit_gaussian_is_zero_and_grows_with_the_mean() -> None:
    from dreamdrive.worldmodel.tokenizer import Posterior

    zero = torch.zeros(1, 1, 1, 2, 2)
    assert float(Posterior(zero, zero).kl()) == 0.0
    assert float(Posterior(zero + 2.0, zero).kl()) == pytest.approx(2.0)
