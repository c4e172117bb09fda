"""The doubt: counted, monotone, a probability on data that it was not fitted on."""

import pytest
import torch

from dreamdrive.config import from_dict, to_dict
from dreamdrive.worldmodel.calibration import (
    Calibration,
    Doubt,
    calibration_error,
    fit_calibration,
)

CURVE = Calibration(threshold=0.5, disagreement=(0.01, 0.1, 1.0), probability=(0.1, 0.2, 0.8))


def drawn(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns disagreements, errors, and how likely each error is to exceed 1."""
    g = torch.Generator().manual_seed(seed)
    disagreement = torch.exp(4.0 * torch.rand(count, generator=g) - 4.0)
    chance = disagreement / (0.3 + disagreement)
    is_above = torch.rand(count, generator=g) < chance
    return disagreement, torch.where(is_above, 2.0, 0.5), chance


def test_it_is_the_frequency_of_errors_on_other_data() -> None:
    disagreement, error, _ = drawn(20_000, seed=0)
    doubt = Doubt(fit_calibration(disagreement, error, 1.0))
    fresh, fresh_error, chance = drawn(20_000, seed=1)
    said = doubt(fresh)
    assert float((said - chance).abs().mean()) < 0.02
    assert calibration_error(said, fresh_error > 1.0) < 0.02
    # What the heads disagree about, taken for a probability itself, is none.
    assert calibration_error(fresh, fresh_error > 1.0) > 0.05


def test_it_never_falls_where_the_disagreement_rises() -> None:
    disagreement, error, _ = drawn(300, seed=2)
    curve = fit_calibration(disagreement, error, 1.0, num_bins=60)
    assert list(curve.probability) == sorted(curve.probability)
    assert len(curve.probability) < 60, "with five in a bin some shares descend by chance"
    against = fit_calibration(disagreement, -error, -1.0)
    assert len(against.probability) <= 2, "an error that falls with it is one pool"


def test_nothing_is_certain_and_equal_disagreements_are_one_point() -> None:
    same = torch.full((50,), 0.2)
    curve = fit_calibration(same, torch.ones(50), 0.5)
    assert curve.probability == pytest.approx([51.0 / 52.0])
    assert curve.disagreement == pytest.approx([0.2], rel=1e-5)
    assert float(Doubt(curve)(torch.tensor(3.0))) == pytest.approx(51.0 / 52.0)


def test_between_points_it_is_straight_in_the_logarithm_and_beyond_them_it_stays() -> None:
    doubt = Doubt(CURVE)
    x = torch.tensor([[0.0, 0.01, 0.1], [10.0**-0.5, 1.0, 50.0]])
    torch.testing.assert_close(
        doubt(x), torch.tensor([[0.1, 0.1, 0.2], [0.5, 0.8, 0.8]]), atol=1e-5, rtol=0.0
    )


def test_it_survives_a_file_and_what_is_no_curve_is_refused() -> None:
    assert from_dict(Calibration, to_dict(CURVE)) == CURVE
    for x, p in (((), ()), ((1.0, 1.0), (0.1, 0.2)), ((1.0, 2.0), (0.3, 0.2)), ((1.0,), (1.5,))):
        with pytest.raises(ValueError, match="a calibration"):
            Calibration(threshold=1.0, disagreement=x, probability=p)
    with pytest.raises(ValueError, match="needs disagreements"):
        fit_calibration(torch.zeros(0), torch.zeros(0), 1.0)


def test_the_calibration_error_is_the_gap_between_words_and_events() -> None:
    said = torch.cat([torch.full((100,), 0.2), torch.full((100,), 0.6)])
    event = torch.zeros(200, dtype=torch.bool)
    event[:20], event[100:190] = True, True
    assert calibration_error(said, event, num_bins=2) == pytest.approx(0.5 * 0.0 + 0.5 * 0.3)
