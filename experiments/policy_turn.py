"""Whose turn it is in a drive, the policy's or the server's: what goes wrong is the holder's fault.

A policy that raises, or whose action is none, ends its drive at once. One that does not come back
cannot be stopped from inside, so that a process may watch from outside since when it has the turn.
"""

import contextlib
import time
import traceback
from collections.abc import Iterator, MutableSequence

POLICY_ERROR = "policy_error"
"""The policy raised an error, or its action was not one."""

POLICY_TIMEOUT = "policy_timeout"
"""The policy took too long for one action."""

POLICY_LOST = "policy_lost"
"""The policy ended its process, or let it grow too large, in every attempt."""

POLICY_FAULTS = (POLICY_ERROR, POLICY_TIMEOUT, POLICY_LOST)


NOT_FRESH = "in a process that had driven before"
"""How what went wrong there is told: it may come of others, and counts for nobody."""

OF_RESOURCES = ("MemoryError", "out of memory", "Too many open files", "Cannot allocate memory")


def is_of_resources(fault: str) -> bool:
    """Whether a fault may come of what somebody else has left in the same process."""
    return any(words in fault for words in OF_RESOURCES)


class PolicyFaultError(Exception):
    """The policy failed, and nothing else did.

    Args:
        reason: What it did.
    """


class Turn:
    """Notes since when the policy has the turn.

    Args:
        since: One number that a watching process shares: monotonic time at which the policy got the
            turn, negative while it is being made, 0 while the server has it.
    """

    def __init__(self, since: MutableSequence[float] | None = None) -> None:
        self._since: MutableSequence[float] = [0.0] if since is None else since
        self.thought_s = 0.0

    @contextlib.contextmanager
    def of_policy(self, *, is_made: bool = True) -> Iterator[None]:
        """Gives the policy the turn; errors in it are the policy's.

        Args:
            is_made: False while it loads what it needs, which may take longer than an action.

        Raises:
            PolicyFaultError: If something was raised.
        """
        began = time.monotonic()
        self._since[0] = began if is_made else -began
        try:
            yield
        except (Exception, SystemExit) as error:
            raise PolicyFaultError(_told(error)) from error
        finally:
            self._since[0] = 0.0
            self.thought_s += time.monotonic() - began


def _told(error: BaseException) -> str:
    """Returns an error with the place that raised it."""
    text = f"{type(error).__name__}: {error}".strip().removesuffix(":")
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({frames[-1].name}, line {frames[-1].lineno})" if frames else text
