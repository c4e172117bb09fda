"""The mixture of drivers that experience is collected with: good, bad and strange on purpose."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.envs.carla.expert import Expert, ExpertConfig
from dreamdrive.errors import ConfigError

if TYPE_CHECKING:
    from dreamdrive.envs.carla.env import CarlaDriveEnv

Action = NDArray[np.float32]


class Driver(Protocol):
    """Whoever drives an episode; it may look at the whole environment."""

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode; all its chance comes from `rng`."""

    def act(self, env: "CarlaDriveEnv") -> Action:
        """Returns the next action, shape (2,), within [-1, 1]."""


class DriftingNoise:
    """An Ornstein-Uhlenbeck process: noise that lasts for a while.

    Args:
        rng: Where it comes from.
        deviation: Standard deviation of each component, shape (n,).
        memory_s: Time over which it forgets.
    """

    def __init__(self, rng: np.random.Generator, deviation: Action, memory_s: float) -> None:
        self._rng, self._deviation = rng, deviation
        self._keep = float(np.exp(-DECISION_DT_S / memory_s))
        self._value = np.zeros_like(deviation)

    def step(self) -> Action:
        """Returns the next value, shape (n,)."""
        fresh = self._rng.standard_normal(self._value.shape).astype(np.float32)
        gain = np.sqrt(1.0 - self._keep**2)
        self._value = self._keep * self._value + gain * self._deviation * fresh
        return np.asarray(self._value, np.float32)


def _clipped(action: Action) -> Action:
    return np.clip(action, -1.0, 1.0).astype(np.float32)


class ExpertDriver:
    """The expert, with its own memory of the episode."""

    def __init__(self, config: ExpertConfig | None = None) -> None:
        self._expert = Expert(config)

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        self._expert.reset()

    def act(self, env: "CarlaDriveEnv") -> Action:
        """Returns the expert's action."""
        return self._expert.act(env)


class NoisyExpert:
    """The expert with lasting noise on both controls, of a strength drawn for each episode."""

    def __init__(self) -> None:
        self._expert = Expert()

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        self._expert.reset()
        deviation = np.array([rng.uniform(0.02, 0.10), rng.uniform(0.1, 0.4)], np.float32)
        self._noise = DriftingNoise(rng, deviation, memory_s=0.8)

    def act(self, env: "CarlaDriveEnv") -> Action:
        """Returns the expert's action with noise."""
        return _clipped(self._expert.act(env) + self._noise.step())


class Recovery:
    """Bursts of wrong steering and pedal, after each of which the expert recovers."""

    def __init__(self) -> None:
        self._expert = Expert()

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        self._expert.reset()
        self._rng = rng
        self._burst = 0
        self._calm = int(rng.integers(10, 40))
        self._push = np.zeros(2, np.float32)

    def act(self, env: "CarlaDriveEnv") -> Action:
        """Returns the expert's action, pushed aside during a burst."""
        if self._burst == 0 and self._calm == 0:
            self._burst = int(self._rng.integers(4, 14))
            self._calm = int(self._rng.integers(25, 70))
            steer = self._rng.choice([-1.0, 1.0]) * self._rng.uniform(0.08, 0.35)
            self._push = np.array([steer, self._rng.uniform(-0.3, 0.7)], np.float32)
        action = self._expert.act(env)
        if self._burst:
            self._burst -= 1
            return _clipped(action + self._push)
        self._calm -= 1
        return action


class Fast:
    """Too fast, and by turns without regard for vehicles in front or for lights."""

    def __init__(self) -> None:
        self._expert = Expert()

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode; draws how bad it will be."""
        self._expert = Expert(
            ExpertConfig(
                speed_factor=float(rng.uniform(1.3, 1.6)),
                lateral_mps2=float(rng.uniform(3.0, 6.0)),
                accelerate_mps2=3.5,
                sees_others=bool(rng.random() < 0.4),
                obeys_lights=bool(rng.random() < 0.4),
            )
        )

    def act(self, env: "CarlaDriveEnv") -> Action:
        """Returns the reckless action."""
        return self._expert.act(env)


class PedalInterruptions:
    """A pedal that changes its mind without a reason: whiles of braking and of throttle.

    Drivers brake hard when they are about to collide; a dream that never saw it done for nothing
    takes the brake for the cause.

    Args:
        rng: Where the whiles come from.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._left = 0
        self._pedal: float | None = None

    def over(self, action: Action) -> Action:
        """Returns the action, with another pedal during an interruption."""
        if self._left == 0:
            self._left = int(self._rng.integers(8, 35))
            kind = self._rng.random()
            self._pedal = None
            if kind < 0.35:
                self._pedal = max(-1.0, float(self._rng.uniform(-1.5, -0.2)))
            elif kind < 0.5:
                self._pedal = float(self._rng.uniform(0.3, 1.0))
        self._left -= 1
        return action if self._pedal is None else np.array([action[0], self._pedal], np.float32)


class StopAndGo:
    """The expert, interrupted by stops and by moments of full throttle.

    One that does not see others besides brakes and collides without one having to do with the
    other, so that what comes of braking can be told from what it comes with.
    """

    def __init__(self, config: ExpertConfig | None = None) -> None:
        self._expert = Expert(config)

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        self._expert.reset()
        self._interruptions = PedalInterruptions(rng)

    def act(self, env: "CarlaDriveEnv") -> Action:
        """Returns the expert's steering with a pedal that changes its mind."""
        return self._interruptions.over(self._expert.act(env))


class Straying:
    """The expert, whose controls are held at times until it is back in its lane, or off the road.

    What comes of a wheel that nobody turns back is seen in no other drives, and an agent that
    learns in a dream tries it.
    """

    def __init__(self) -> None:
        self._expert = Expert()

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        self._expert.reset()
        self._rng = rng
        self._left = int(rng.integers(10, 60))
        self._held: Action | None = None

    def act(self, env: "CarlaDriveEnv") -> Action:
        """Returns the expert's action, or the one that is held."""
        action = self._expert.act(env)
        if self._left == 0 and self._held is None:
            steer = self._rng.normal(0.0, 0.15) * (self._rng.random() < 0.75)
            self._held = _clipped(np.array([steer, self._rng.uniform(0.0, 0.7)], np.float32))
            self._left = int(self._rng.integers(5, 35))
        elif self._left == 0:
            self._held, self._left = None, int(self._rng.integers(20, 60))
        self._left -= 1
        return action if self._held is None else self._held


class SmoothRandom:
    """Random controls that change slowly, forward on the whole."""

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        self._noise = DriftingNoise(rng, np.array([0.25, 0.5], np.float32), memory_s=1.0)
        self._lean = np.array([0.0, rng.uniform(0.0, 0.4)], np.float32)

    def act(self, env: "CarlaDriveEnv") -> Action:
        """Returns the next random action."""
        return _clipped(self._noise.step() + self._lean)


class Standing:
    """Full brake."""

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""

    def act(self, env: "CarlaDriveEnv") -> Action:
        """Returns the brake."""
        return np.array([0.0, -1.0], np.float32)


def make_driver(name: str) -> Driver:
    """Returns a new driver by name.

    Raises:
        ConfigError: If there is no driver of this name.
    """
    makers: dict[str, Callable[[], Driver]] = {
        "expert": ExpertDriver,
        "noisy_expert": NoisyExpert,
        "recovery": Recovery,
        "fast": Fast,
        "blind": lambda: ExpertDriver(ExpertConfig(sees_others=False)),
        "careless": lambda: ExpertDriver(ExpertConfig(obeys_lights=False)),
        "stop_and_go": StopAndGo,
        "heedless": lambda: StopAndGo(ExpertConfig(sees_others=False)),
        "straying": Straying,
        "random": SmoothRandom,
        "standing": Standing,
    }
    assert tuple(makers) == DRIVER_NAMES
    if name not in makers:
        raise ConfigError(f"There is no driver {name!r}", do=f"Known: {', '.join(makers)}.")
    return makers[name]()


DRIVER_NAMES = (
    "expert", "noisy_expert", "recovery", "fast", "blind", "careless", "stop_and_go",
    "heedless", "straying", "random", "standing",
)  # fmt: skip
"""All drivers of the mixture."""

DEFAULT_SHARES: dict[str, float] = {
    "expert": 0.24,
    "blind": 0.17,
    "careless": 0.13,
    "noisy_expert": 0.15,
    "fast": 0.10,
    "recovery": 0.10,
    "stop_and_go": 0.06,
    "heedless": 0.0,
    "straying": 0.0,
    "random": 0.03,
    "standing": 0.02,
}
"""Shares of episodes by driver: learned from good driving alone, a dream knows nothing else."""
