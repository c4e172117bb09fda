"""What an evaluation has come to so far, and what is being driven: the table above its bar."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from dreamdrive.experiments.drives import DriveResult
from dreamdrive.experiments.run import duration
from dreamdrive.experiments.scores import score

NOTHING = "\N{EN DASH}"
MAX_UNDER_WAY = 8
"""More drives than these are not told one by one."""


class UnderWay(NamedTuple):
    """A drive that somebody is making.

    Attributes:
        policy: Who drives.
        route: Where.
        began: Monotonic time at which the attempt began.
    """

    policy: str
    route: str
    began: float


class LiveTable:
    """Means over the drives that stand, policy by policy; grows with each result.

    Args:
        planned: How many drives each policy has, by name.
        under_way: Tells what is being driven at the moment.
    """

    def __init__(
        self, planned: dict[str, int], under_way: Callable[[], Sequence[UnderWay]] = lambda: ()
    ) -> None:
        self._planned, self._under_way = planned, under_way
        self._results: dict[str, list[DriveResult]] = {name: [] for name in planned}

    def add(self, result: DriveResult) -> None:
        """Takes the result of a drive."""
        self._results[result.policy].append(result)

    def __rich__(self) -> Table:
        """Returns the table as it is now."""
        table = Table(caption=self._now(), caption_justify="left")
        table.add_column("policy")
        for name in (
            "drives",
            "score",
            "completion %",
            "infractions",
            "faults",
            "lost",
            "repeated",
        ):
            table.add_column(name, justify="right")
        for policy, results in self._results.items():
            valid = [result for result in results if result.is_valid]
            table.add_row(
                policy,
                f"{len(results)}/{self._planned[policy]}",
                _mean([score(result).driving_score for result in valid]),
                _mean([result.completion_pct for result in valid]),
                str(sum(len(result.events) for result in valid)),
                str(sum(bool(result.policy_fault) for result in valid)),
                str(len(results) - len(valid)),
                str(sum(bool(result.sim_errors) for result in valid)),
            )
        return table

    def _now(self) -> Text:
        """Returns what is being driven, and for how long."""
        under_way = self._under_way()
        lines = [
            f"{drive.policy} on {drive.route}, {duration(time.monotonic() - drive.began)}"
            for drive in under_way[:MAX_UNDER_WAY]
        ]
        if len(under_way) > MAX_UNDER_WAY:
            lines.append(f"and {len(under_way) - MAX_UNDER_WAY} more")
        return Text("\n".join(lines))


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.1f}" if values else NOTHING
