"""Policies that a test names as module:factory."""

import os
import signal
from pathlib import Path

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
    """The expert, that kills its server twenty decisions into each of its first drives.

    What is counted stands in the folder that `KILLS` names, since the client may end the process
    together with its server.
    """

    def __init__(self, kills):
        self._kills, self._decisions, self._env = kills, 0, None
        self._folder = Path(os.environ["KILLS"])

    def attach(self, env):
        self._env = env

    def reset(self):
        self._decisions = 0

    def act(self, observation):
        self._decisions += 1
        done = len(list(self._folder.iterdir()))
        if done < self._kills and self._decisions == 20:
            (self._folder / str(done)).touch()
            os.kill(self._env.supervisor.pid, signal.SIGKILL)
        return self._env.expert_action()


def server_killer():
    """Returns a policy that kills one server."""
    return ServerKiller(kills=1)


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
