"""How much processor time a process and all that it started have used."""

import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

PARENT, FIRST, LAST = 1, 11, 15
"""Places in /proc/PID/stat behind the name: parent; user and system time, own and of children."""


def processor_s(root: int) -> float:
    """Returns the processor time of a process and its descendants in seconds, user and system.

    Descendants that have ended and been waited for count too, so that it never falls while the
    processes between them and the root live. A process whose parent is gone is not found.

    Args:
        root: The process's id.

    Reference:
        proc_pid_stat(5): fields 4, 14 to 17.
    """
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid] = int(fields[PARENT])
        used[pid] = sum(map(int, fields[FIRST:LAST]))
    return sum(ticks for pid, ticks in used.items() if _is_below(pid, root, parents)) / TICKS_PER_S


def _is_below(pid: int, root: int, parents: dict[int, int]) -> bool:
    """Whether a process is the root or one of its descendants."""
    while pid != root:
        if pid not in parents:
            return False
        pid = parents[pid]
    return True
