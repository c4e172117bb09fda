import numpy as np
import pytest

from dreamdrive.driving.actions import checked_action
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
