"""Policies that a test names as module:factory."""

import os
import resource
import signal
import threading
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


class Late(Gentle):
    """Does something odd at its eleventh decision."""

    def reset(self):
        self._decisions = 0

    def act(self, observation):
        self._decisions += 1
        return self.odd() if self._decisions == 11 else GENTLE.copy()


class Broken(Late):
    """Raises an error of its own."""

    def odd(self):
        raise ZeroDivisionError("the policy's own fault")


class Blind(Late):
    """Returns no number."""

    def odd(self):
        return np.array([np.nan, 0.0], np.float32)


class Endless(Late):
    """Never comes back."""

    def odd(self):
        threading.Event().wait()


class Leaky(Late):
    """Holds more memory than it may, and is slow enough to be seen."""

    def odd(self):
        self._kept = bytes([1]) * (500 << 20)
        threading.Event().wait()


class Exiting(Late):
    """Leaves as if it were alone."""

    def odd(self):
        raise SystemExit(0)


class Stillborn(Gentle):
    """Does not even begin."""

    def reset(self):
        raise KeyError("weights")


class Unlucky(Late):
    """Somebody ends its process in its first drive, in the middle of its turn."""

    def odd(self):
        done = Path(os.environ["KILLS"]) / "unlucky"
        if not done.exists():
            done.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return GENTLE.copy()


class DiskFiller(Late):
    """No file of its process can grow from the middle of its first drive on."""

    def odd(self):
        done = Path(os.environ["KILLS"]) / "full"
        if not done.exists():
            done.touch()
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        return GENTLE.copy()


class Orphaned(Late):
    """Ends the process that watches its own, once, as if its machine were lost."""

    def odd(self):
        done = Path(os.environ["KILLS"]) / "orphaned"
        if not done.exists():
            done.touch()
            os.kill(os.getppid(), signal.SIGKILL)
            threading.Event().wait()
        return GENTLE.copy()


class Cursed(Late):
    """Does so in every drive."""

    def odd(self):
        (Path(os.environ["KILLS"]) / f"cursed-{os.getpid()}").touch()
        os.kill(os.getppid(), signal.SIGKILL)
        threading.Event().wait()


HOARD = []


class Hoarder(Late):
    """Holds 400 MiB more from drive to drive, and is slow enough to be seen where it was too much.

    A process by itself has room for it once.
    """

    def odd(self):
        HOARD.append(bytes([1]) * (400 << 20))
        if len(HOARD) > 1:
            threading.Event().wait()
        return GENTLE.copy()


class Innocent(Late):
    """Holds nothing, but thinks for long where somebody else has filled the process."""

    def odd(self):
        if HOARD:
            self._kept = bytes([1]) * (400 << 20)
            threading.Event().wait()
        return GENTLE.copy()


class Wanderer(Gentle):
    """Leaves the working folder."""

    def act(self, observation):
        os.chdir("/")
        return GENTLE.copy()


class Waiting(Late):
    """Fails as CARLA's client does where a server takes too long, in its first drive."""

    def odd(self):
        done = Path(os.environ["KILLS"]) / "waited"
        if not done.exists():
            done.touch()
            raise RuntimeError("time-out of 10000ms while waiting for the simulator, make sure …")
        return GENTLE.copy()


class WaitingForServer(Waiting):
    """The same of a policy that asks the server."""

    def attach(self, env):
        """Takes the environment."""
