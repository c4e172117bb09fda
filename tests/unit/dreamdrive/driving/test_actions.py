import numpy as np
import pytest

from dreamdrive.driving.actions import (
    DISCRETE_ACTIONS,
    NUM_DISCRETE_ACTIONS,
    PEDAL_GRID,
    STEER_GRID,
    checked_action,
    chosen_action,
    nearest_choice,
)
from dreamdrive.errors import ActionError


def test_a_good_action_comes_back_as_float32() -> None:
    action = checked_action([0.25, -1])
    assert action.dtype == np.float32
    np.testing.assert_array_equal(action, np.array([0.25, -1.0], np.float32))


def test_a_batch() -> None:
    assert checked_action(np.zeros((3, 2)), num_envs=3).shape == (3, 2)
    with pytest.raises(ActionError, match=r"shape \(2,\), expected \(3, 2\)"):
        checked_action(np.zeros(2), num_envs=3)


def test_rounding_beyond_the_bound_is_clipped() -> None:
    assert checked_action([1.0 + 5e-7, 0.0])[0] == 1.0


@pytest.mark.parametrize(
    ("action", "what"),
    [
        ([0.0], "shape"),
        ([0.0, 0.0, 0.0], "shape"),
        ([float("nan"), 0.0], "not finite"),
        ([0.0, float("inf")], "not finite"),
        ([1.01, 0.0], "outside"),
        ([0.0, -2.0], "outside"),
        ("left", "no array of numbers"),
        (None, "shape"),
    ],
)
def test_a_bad_action_is_refused(action: object, what: str) -> None:
    with pytest.raises(ActionError, match=what):
        checked_action(action)


def test_the_grid_is_steer_by_pedal() -> None:
    assert DISCRETE_ACTIONS.shape == (28, 2)
    np.testing.assert_array_equal(chosen_action(0), np.array([-0.5, -1.0], np.float32))
    np.testing.assert_array_equal(chosen_action(np.int64(27)), np.array([0.5, 0.5], np.float32))
    for i, steer in enumerate(STEER_GRID):
        for j, pedal in enumerate(PEDAL_GRID):
            np.testing.assert_allclose(chosen_action(4 * i + j), [steer, pedal])
    np.testing.assert_array_equal(STEER_GRID, -np.array(STEER_GRID[::-1]))


def test_every_choice_is_nearest_to_itself() -> None:
    for number in range(NUM_DISCRETE_ACTIONS):
        assert nearest_choice(chosen_action(number)) == number
    assert nearest_choice([0.3, 0.2]) == 5 * 4 + 2


def test_a_batch_of_choices() -> None:
    batch = chosen_action(np.array([27, 0, 3]), num_envs=3)
    np.testing.assert_array_equal(batch, DISCRETE_ACTIONS[[27, 0, 3]])
    batch[:] = 9.0
    chosen_action(3)[:] = 9.0
    assert DISCRETE_ACTIONS.max() <= 1.0


@pytest.mark.parametrize("number", [-1, 28, 2.0, True, "left", None, [1], [[1]]])
def test_what_is_no_choice_is_refused(number: object) -> None:
    with pytest.raises(ActionError, match="discrete action"):
        chosen_action(number)
