import ast
from pathlib import Path

import numpy as np
import pytest

from dreamdrive.agents.policy import ConstantPolicy, RandomPolicy, standing, straight
from dreamdrive.errors import ActionError

SEEN = {"image": np.zeros((64, 64, 3), np.uint8), "state": np.zeros(14, np.float32)}
ROOT = Path(__file__).resolve().parents[3]


def test_standing_brakes_and_straight_drives_on() -> None:
    for policy, expected in ((standing(), [0.0, -1.0]), (straight(), [0.0, 0.5])):
        policy.reset()
        for _ in range(3):
            action = policy.act(SEEN)
            assert action.dtype == np.float32
            assert action.tolist() == expected


def test_a_constant_policy_hands_out_copies() -> None:
    policy = standing()
    policy.act(SEEN)[:] = 0.7
    assert policy.act(SEEN).tolist() == [0.0, -1.0]


@pytest.mark.parametrize("value", [float("nan"), 1.5])
def test_a_constant_policy_refuses_a_bad_action(value: float) -> None:
    with pytest.raises(ActionError):
        ConstantPolicy(0.0, value)


def test_random_draws_depend_on_seed_and_episode_only() -> None:
    def episodes(seed: int) -> np.ndarray:
        policy = RandomPolicy(seed)
        runs = []
        for _ in range(2):
            policy.reset()
            runs.append([policy.act(SEEN) for _ in range(200)])
        return np.array(runs)

    first = episodes(3)
    np.testing.assert_array_equal(first, episodes(3))
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(first, episodes(4))
    assert np.abs(first).max() <= 1.0
    assert abs(first.mean()) < 0.06
    assert first.min() < -0.95
    assert first.max() > 0.95


@pytest.mark.parametrize(
    ("package", "barred"),
    [
        ("agents", ("planners", "envs", "experiments")),
        ("planners", ("agents", "envs", "experiments")),
    ],
)
def test_siblings_never_import_each_other(package: str, barred: tuple[str, ...]) -> None:
    files = sorted((ROOT / package).glob("**/*.py"))
    assert len(files) > 5
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                parts = name.split(".")
                assert not (parts[0] == "dreamdrive" and parts[1] in barred), f"{path}: {name}"
                assert parts[0] != "carla", path
