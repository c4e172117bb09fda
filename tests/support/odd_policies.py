"""Policies that a test names as module:factory."""

import os
import signal

import numpy as np

GENTLE = np.array([0.0, 0.3], np.float32)


class Gentle:
    """A little throttle."""

    def reset(self):
        """Forgets nothing."""

    def act(self, observation):
        """Returns the throttle."""
        return GENTLE.copy()


class Useless:
    """Neither resets nor acts."""


class ServerKiller(Gentle):
    """The expert, that kills its server once, twenty decisions into its first drive."""

    def __init__(self, kills=1):
        self._left, self._decisions, self._env = kills, 0, None

    def attach(self, env):
        self._env = env

    def reset(self):
        self._decisions = 0

    def act(self, observation):
        self._decisions += 1
        if self._left and self._decisions == 20:
            self._left -= 1
            os.kill(self._env.supervisor.pid, signal.SIGKILL)
        return self._env.expert_action()


def server_killer():
    """Returns a policy that kills its server once."""
    return ServerKiller()


def serial_killer():
    """Returns a policy that kills every server."""
    return ServerKiller(kills=10**9)


class Mortal(Gentle):
    """Ends its own process."""

    def act(self, observation):
        os._exit(3)


class Broken(Gentle):
    """Raises an error of its own."""

    def act(self, observation):
        raise ZeroDivisionError("the policy's own fault")
