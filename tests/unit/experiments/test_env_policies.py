import gymnasium as gym
import numpy as np

from dreamdrive.experiments.env_policies import LONGEST_HOLD, Interrupted, Seen

NOTHING = Seen(None, np.zeros((8, 8, 3), np.uint8), np.zeros(1, np.float32))
CHOSEN = np.float32([0.25, -0.25])


class Steady:
    def reset(self, rng: np.random.Generator) -> None:
        self.calls = 0

    def act(self, seen: Seen) -> np.ndarray:
        self.calls += 1
        return CHOSEN


def actions(chance: float, seed: int = 0, length: int = 4000) -> np.ndarray:
    steady = Steady()
    policy = Interrupted(steady, gym.spaces.Box(-1.0, 1.0, (2,)), chance)
    policy.reset(np.random.default_rng(seed))
    found = np.stack([policy.act(NOTHING) for _ in range(length)])
    # The policy sees every frame, those included at which something else was done.
    assert steady.calls == length
    return found


def test_a_policy_is_interrupted_as_often_and_as_long_as_it_should_be() -> None:
    found = actions(0.05)
    own = (found == CHOSEN).all(1)
    turns = 1.0 / 0.05
    held = (1 + LONGEST_HOLD) / 2
    # A turn of its own is as long as a geometric draw less the decision that ends it.
    assert abs(own.mean() - (turns - 1) / (turns - 1 + held)) < 0.03
    others = np.split(found[~own], np.flatnonzero((np.diff(found[~own], axis=0) != 0).any(1)) + 1)
    assert max(len(part) for part in others) == LONGEST_HOLD
    assert min(len(part) for part in others) == 1


def test_interruptions_are_fixed_by_the_episodes_seed() -> None:
    np.testing.assert_array_equal(actions(0.3, seed=1, length=50), actions(0.3, seed=1, length=50))
    assert (actions(0.3, seed=1, length=50) != actions(0.3, seed=2, length=50)).any()


def test_without_a_chance_nothing_interrupts_and_with_certainty_all() -> None:
    assert (actions(0.0) == CHOSEN).all()
    assert not (actions(1.0) == CHOSEN).all(1).any()
