"""Whether a call into the `carla` client is at rest: nobody who could end it runs or waits to run.

Who could: the thread that called, and those that the client started, which Python does not know.
"""

import threading
from pathlib import Path

TASKS = Path("/proc/self/task")
AWAKE = ("R", "D")
"""States of a thread that runs, waits for a core, or waits for a disk."""


class Rest:
    """Compares what the threads have run with what they had at the look before."""

    def __init__(self) -> None:
        self._before: dict[str, str] = {}

    def is_unbroken(self, caller: int) -> bool:
        """Returns whether none of the threads is awake, or has been since the last look.

        Where the system does not tell, they are taken to be at rest.

        Args:
            caller: Native id of the thread that called into the client.
        """
        others = {str(thread.native_id) for thread in threading.enumerate()} - {str(caller)}
        ran, is_awake = dict[str, str](), False
        for task in _tasks():
            if task.name in others:
                continue
            try:
                state = (task / "stat").read_text().rpartition(")")[2].split()[0]
                ran[task.name] = (task / "schedstat").read_text()
            except OSError:
                continue
            is_awake = is_awake or state in AWAKE
        before, self._before = self._before, ran
        return not is_awake and before == ran


def _tasks() -> list[Path]:
    try:
        return list(TASKS.iterdir())
    except OSError:
        return []
