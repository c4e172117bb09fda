"""What a scorer is, and what it says of one drive."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.event_log import DriveLog, Ticks


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteScore:
    """The score of one drive.

    Attributes:
        value: The number that the scorer is there for.
        terms: What it is made of, and what else the scorer tells, by name; None where the drive
            gives no answer.
        not_measured: Parts of the definition that nobody looked for in this drive; they cost
            nothing here.
    """

    value: float
    terms: Mapping[str, float | None] = field(default_factory=dict)
    not_measured: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Scorer:
    """A score with its name and version.

    Attributes:
        name: Name and version, which stand beside every number made with it.
        label: What its number is called.
        rule: Scores one drive; raises `NotMeasuredError` where the log lacks a fact.
        higher_is_better: Whether more is better.
        num_routes: Number by which the sum over drives is divided; None is the number of drives.
        over_num_routes: Terms that are divided by it too.
        mean_of: Terms whose means are averaged once more, with the same weight each.
    """

    name: str
    label: str
    rule: Callable[[DriveLog], RouteScore]
    higher_is_better: bool = True
    num_routes: int | None = None
    over_num_routes: tuple[str, ...] = ()
    mean_of: tuple[str, ...] = ()

    def score(self, log: DriveLog) -> RouteScore:
        """Returns the score of a drive.

        Raises:
            NotMeasuredError: If the log lacks a fact that the score needs.
        """
        return self.rule(log)


def ticks_of(log: DriveLog, scorer: str, *columns: str) -> Ticks:
    """Returns the ticks of a log, all of the named columns known.

    Raises:
        NotMeasuredError: If the log has no ticks, or one of the columns was not measured.
    """
    drive = f"{log.result.policy}, {log.result.route}, seed {log.result.seed}"
    if log.ticks is None or not len(log.ticks):
        raise NotMeasuredError(
            f"{scorer} needs every tick of a drive, and only its result was kept", where=drive,
            do="Drive again: evaluations write event logs.",
        )  # fmt: skip
    for name in columns:
        if not (log.ticks.column(name) == log.ticks.column(name)).all():
            raise NotMeasuredError(f"{scorer} needs {name}, which was not measured", where=drive)
    return log.ticks
