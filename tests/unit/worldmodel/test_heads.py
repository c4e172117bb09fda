import pytest
import torch

from dreamdrive.worldmodel.heads import OutcomeHeads

WIDTH, SAMPLED, OVERSAMPLING = 8, 0.5, 9.0


def learned(oversampling: float) -> tuple[float, float, float]:
    """Returns what heads learn where half of what they see is fatal: termination, reward, quantity.

    The quantity is the reward.
    """
    torch.manual_seed(0)
    heads = OutcomeHeads(WIDTH, num_causes=1, num_quantities=1)
    agent = torch.ones(64, WIDTH) + torch.linspace(-1.0, 1.0, WIDTH)
    cause = (torch.arange(64) < SAMPLED * 64).long()
    reward = -cause.float()
    optimiser = torch.optim.Adam(heads.parameters(), lr=0.02)
    for _ in range(200):
        optimiser.zero_grad()
        sum(heads.loss(agent, reward, cause, oversampling, reward[:, None]).values()).backward()
        optimiser.step()
    with torch.no_grad():
        outcome = heads(agent[:1])
    return float(outcome.termination.sum()), float(outcome.reward), float(outcome.quantity)


def test_heads_learn_how_often_terminations_happen_not_how_often_they_are_sampled() -> None:
    # Odds of 1 to 1 among what is sampled are odds of 1 to 9 among what happens.
    termination, reward, quantity = learned(OVERSAMPLING)
    assert termination == pytest.approx(0.1, abs=0.01)
    assert reward == pytest.approx(-0.1, abs=0.02)
    assert quantity == pytest.approx(-0.1, abs=0.02)


def test_without_oversampling_heads_learn_what_they_see() -> None:
    termination, reward, quantity = learned(1.0)
    assert quantity == pytest.approx(-0.5, abs=0.02)
    assert termination == pytest.approx(0.5, abs=0.02)
    assert reward == pytest.approx(-0.5, abs=0.03)


def test_a_new_head_says_the_mean_of_each_quantity_in_its_own_units() -> None:
    torch.manual_seed(0)
    heads = OutcomeHeads(WIDTH, num_causes=1, num_quantities=3)
    data = torch.randn(500, 3) * torch.tensor([0.5, 20.0, 0.0]) + torch.tensor([1.0, -40.0, 7.0])
    heads.quantities.fit(data)
    told = heads(torch.randn(4, 2, WIDTH)).quantity
    torch.testing.assert_close(told, data.mean(0).expand(4, 2, 3))
    # Each quantity counts by its own spread: an error of one spread is 1 for all.
    error = heads.quantities.loss(torch.randn(5, WIDTH), data.mean(0) + data.std(0), torch.ones(5))
    assert float(error.detach()) == pytest.approx(2.0 / 3.0, rel=1e-4)


def test_without_quantities_and_calibration_nothing_is_told_beside() -> None:
    outcome = OutcomeHeads(WIDTH, num_causes=1)(torch.zeros(2, WIDTH))
    assert outcome.quantity is None
    assert outcome.doubt is None
