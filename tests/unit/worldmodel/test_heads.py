import pytest
import torch

from dreamdrive.worldmodel.heads import OutcomeHeads

WIDTH, SAMPLED, OVERSAMPLING = 8, 0.5, 9.0


def learned(oversampling: float) -> tuple[float, float]:
    """Returns termination and reward that heads learn where half of what they see is fatal."""
    torch.manual_seed(0)
    heads = OutcomeHeads(WIDTH, num_causes=1)
    agent = torch.ones(64, WIDTH) + torch.linspace(-1.0, 1.0, WIDTH)
    cause = (torch.arange(64) < SAMPLED * 64).long()
    reward = -cause.float()
    optimiser = torch.optim.Adam(heads.parameters(), lr=0.02)
    for _ in range(200):
        optimiser.zero_grad()
        sum(heads.loss(agent, reward, cause, oversampling)).backward()
        optimiser.step()
    with torch.no_grad():
        outcome = heads(agent[:1])
    return float(outcome.termination.sum()), float(outcome.reward)


def test_heads_learn_how_often_terminations_happen_not_how_often_they_are_sampled() -> None:
    # Odds of 1 to 1 among what is sampled are odds of 1 to 9 among what happens.
    termination, reward = learned(OVERSAMPLING)
    assert termination == pytest.approx(0.1, abs=0.01)
    assert reward == pytest.approx(-0.1, abs=0.02)


def test_without_oversampling_heads_learn_what_they_see() -> None:
    termination, reward = learned(1.0)
    assert termination == pytest.approx(0.5, abs=0.02)
    assert reward == pytest.approx(-0.5, abs=0.03)
