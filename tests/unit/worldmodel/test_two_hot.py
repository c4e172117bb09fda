import pytest
import torch

from dreamdrive.worldmodel.two_hot import (
    symexp,
    symexp_bins,
    symlog,
    two_hot,
    two_hot_loss,
    two_hot_mean,
)


def test_weights_of_a_value_between_two_bins() -> None:
    bins = torch.tensor([-1.0, 0.0, 2.0, 4.0])
    weights = two_hot(torch.tensor([0.5, -1.0, 9.0, 2.0]), bins)
    expected = [[0, 0.75, 0.25, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    torch.testing.assert_close(weights, torch.tensor(expected))


def test_symlog_and_symexp_are_inverse() -> None:
    x = torch.tensor([-100.0, -0.5, 0.0, 3.0])
    torch.testing.assert_close(symexp(symlog(x)), x)
    assert symlog(torch.tensor(torch.e - 1.0)).item() == pytest.approx(1.0)


def test_bins_are_symmetric_fine_at_zero_and_reach_the_limit() -> None:
    bins = symexp_bins(63, 2.0, 0.01)
    torch.testing.assert_close(bins, -bins.flip(0))
    assert bins[31].item() == 0.0
    assert bins[-1].item() == pytest.approx(2.0, rel=1e-4)
    assert (bins[32] - bins[31]).item() < 0.003
    with pytest.raises(ValueError, match="odd"):
        symexp_bins(4, 1.0)


def test_the_loss_is_least_at_the_value_itself() -> None:
    bins = symexp_bins(9, 2.0)
    value = torch.tensor(0.7)
    right = two_hot(value, bins).clamp_min(1e-9).log()
    assert two_hot_mean(right, bins).item() == pytest.approx(0.7, abs=1e-4)
    wrong = two_hot(torch.tensor(0.9), bins).clamp_min(1e-9).log()
    assert two_hot_loss(right, value, bins) < two_hot_loss(wrong, value, bins)
