import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamdrive.agents.returns import ReturnScale
from dreamdrive.kernels.scan import lambda_return

FEW = settings(max_examples=25, deadline=None, derandomize=True, database=None)
FLOATS = st.floats(-10.0, 10.0, width=32)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def test_the_golden_five_step_episode() -> None:
    """One reward at the third decision, one termination at the last; γ = λ = 1/2.

    Backwards: G4 = -1: nothing follows an end, whatever the critic says. With G = r + (V + G') / 4:
    G3 = 0 + (4 - 1) / 4, G2 = 1 + (3 + 3/4) / 4, G1 = (2 + 31/16) / 4, G0 = (1 + 63/64) / 4.
    """
    returns = lambda_return(
        row(0.0, 0.0, 1.0, 0.0, -1.0), row(1.0, 2.0, 3.0, 4.0, 99.0),
        row(1.0, 1.0, 1.0, 1.0, 0.0), discount=0.5, lambda_=0.5,
    )  # fmt: skip
    expected = row(127 / 256, 63 / 64, 31 / 16, 3 / 4, -1.0)
    torch.testing.assert_close(returns, expected, rtol=0.0, atol=1e-6)


def test_a_termination_cuts_and_a_truncation_bootstraps() -> None:
    """Decision 1 is truncated, decision 3 terminated: G1 = 1 + V, and G0 knows nothing beyond."""
    truncated = torch.tensor([[False, True, False, False]])
    returns = lambda_return(
        row(1.0, 1.0, 1.0, 1.0), row(10.0, 20.0, 30.0, 40.0), row(1.0, 1.0, 1.0, 0.0),
        discount=0.5, lambda_=1.0, truncated_BT=truncated,
    )  # fmt: skip
    torch.testing.assert_close(returns, row(1 + 11 / 2, 1 + 20 / 2, 1 + 1 / 2, 1.0))


def test_the_last_decision_bootstraps_and_half_a_continuation_halves() -> None:
    returns = lambda_return(row(0.0), row(8.0), row(0.5), discount=0.5, lambda_=0.95)
    assert returns.item() == pytest.approx(2.0)


@FEW
@given(
    st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=8), st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)  # fmt: skip
def test_lambda_moves_between_one_step_and_full_returns(
    steps: list[tuple[float, float]], discount: float, continuation: float
) -> None:
    reward, value = (row(*column) for column in zip(*steps, strict=True))
    goes_on = torch.full_like(reward, continuation)
    one, full = (
        lambda_return(reward, value, goes_on, discount=discount, lambda_=x) for x in (0.0, 1.0)
    )
    torch.testing.assert_close(one, reward + discount * continuation * value)
    factor = discount * continuation
    expected = sum(factor**k * steps[k][0] for k in range(len(steps)))
    expected += factor ** len(steps) * steps[-1][1]
    assert full[0, 0].item() == pytest.approx(expected, abs=1e-3, rel=1e-4)


@FEW
@given(st.lists(FLOATS, min_size=2, max_size=6), st.floats(0.5, 2.0))
def test_returns_are_linear_and_rows_do_not_mix(rewards: list[float], factor: float) -> None:
    reward = torch.tensor([rewards, rewards[::-1]])
    value, goes_on = reward.cos(), torch.full_like(reward, 0.9)
    args = {"discount": 0.97, "lambda_": 0.95}
    both = lambda_return(reward, value, goes_on, **args)
    scaled = lambda_return(factor * reward, factor * value, goes_on, **args)
    torch.testing.assert_close(scaled, factor * both, rtol=1e-4, atol=1e-4)
    alone = lambda_return(reward[:1], value[:1], goes_on[:1], **args)
    torch.testing.assert_close(both[:1], alone)


def test_the_gradient_reaches_later_rewards_with_the_discount() -> None:
    reward = torch.zeros(1, 3, requires_grad=True)
    ones = torch.ones(1, 3)
    lambda_return(reward, 0.0 * ones, ones, discount=0.5, lambda_=0.5)[0, 0].backward()
    torch.testing.assert_close(reward.grad, row(1.0, 0.25, 0.0625))


def test_the_scale_is_the_percentile_range_with_a_floor_and_a_memory() -> None:
    scale = ReturnScale(floor=0.5, decay=0.9)
    even = torch.linspace(0.0, 10.0, 101)
    assert scale.update(even) == pytest.approx(9.0, abs=1e-4)
    assert scale.update(torch.zeros(10)) == pytest.approx(8.1, abs=1e-4)
    outlier = torch.cat([torch.zeros(99), torch.tensor([1e6])])
    assert ReturnScale(floor=0.5).update(outlier) == 0.5
