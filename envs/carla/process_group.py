"""A process and all that it started: how much memory they hold, and how they are ended."""

import contextlib
import os
import signal
from pathlib import Path

PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
GROUP, RESIDENT = 2, 21
"""Fields of `/proc/PID/stat` after the name: process group, resident pages."""


def group_memory_mib(group: int) -> float:
    """Returns the resident memory of a process group; pages that two processes share count twice.

    Args:
        group: Its number, which is the process id of its leader.
    """
    pages = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            if int(fields[GROUP]) == group:
                pages += int(fields[RESIDENT])
    return pages * PAGE_MIB


def memory_mib(pid: int) -> float:
    """Returns the resident memory of one process; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MIB
    except (OSError, ValueError, IndexError):
        return 0.0


def signal_group(group: int, number: signal.Signals) -> None:
    """Sends a signal to a process group; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
