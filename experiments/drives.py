"""What one drive of an evaluation leaves behind: one JSON file, whole or absent."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dreamdrive.config import from_dict, to_dict
from dreamdrive.driving.causes import is_collision
from dreamdrive.errors import ConfigError
from dreamdrive.files import write_atomically

SIM_ERROR = "sim_error"


class Trial(NamedTuple):
    """Which of the drives of a policy on a route: its traffic seed, and the repetition of that."""

    seed: int
    repetition: int = 0

    def __str__(self) -> str:
        """Returns the seed, and the repetition where it is not the first."""
        return f"{self.seed}-r{self.repetition}" if self.repetition else str(self.seed)


Key = tuple[str, Trial]
"""Route and trial: what two policies have in common where they are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DriveEvent:
    """One infraction.

    Attributes:
        cause: One of `dreamdrive.driving.causes.TERMINATION_CAUSES`.
        time_s: When, in seconds of simulation since the start.
        x: Where the ego was, ISO world axes, metres.
        y: The same, positive to the left of x.
        detail: Type of the actor that was hit.
    """

    cause: str
    time_s: float
    x: float
    y: float
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenarioResult:
    """How one scenario of a drive ended.

    Attributes:
        name: Its name on the route.
        type: The leaderboard's name of its type.
        result: `solved`, `failed`, `unreached`, or `absent` where it could not be played.
        cause: What failed it.
        start_s: When it was triggered, seconds since the start; None if it was not.
        end_s: When it was over.
    """

    name: str
    type: str
    result: str
    cause: str = ""
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DriveResult:
    """One policy on one route with one seed.

    Attributes:
        policy: Display name.
        spec: What the policy was made from.
        fingerprint: Digest of the policy's files.
        conditions: Digest of everything else that the result depends on.
        town: The map.
        route: Name of the route.
        seed: Seed of the traffic.
        repetition: Number of the drive among those with the same seed, from 0.
        length_m: Length of the route.
        progress_m: How much of it was driven.
        outside_m: Distance driven outside the lanes.
        outside_route_m: Progress that was made outside the lanes.
        cause: Why the drive ended; `sim_error` where the server died in every attempt, and one of
            `policy_turn.POLICY_FAULTS` where the policy failed.
        events: Infractions in order.
        decisions: Number of actions taken.
        time_s: Simulated time.
        mean_speed_mps: Over the whole drive.
        ms_per_decision: Wall time that the policy took to decide, mean.
        sim_errors: What ended attempts that were given up, be it the server or what drove before in
            the same process.
        scenarios: How each scenario of the route ended.
        policy_fault: What the policy did where it ended the drive by a fault of its own.
        lost_ticks: How many ticks CARLA's Traffic Manager lost; after each its vehicles may
            drive otherwise than in a drive that lost none.
        server: What it was driven on, as `driving.served_by` says; results of older versions do not
            tell.
    """

    policy: str
    spec: str
    fingerprint: str
    conditions: str
    town: str
    route: str
    seed: int
    length_m: float
    progress_m: float
    outside_m: float
    outside_route_m: float
    cause: str
    events: tuple[DriveEvent, ...] = ()
    decisions: int = 0
    time_s: float = 0.0
    mean_speed_mps: float = 0.0
    ms_per_decision: float = 0.0
    sim_errors: tuple[str, ...] = ()
    scenarios: tuple[ScenarioResult, ...] = ()
    policy_fault: str = ""
    server: str = ""
    repetition: int = 0
    lost_ticks: int = 0

    @property
    def key(self) -> Key:
        """Route and trial."""
        return self.route, Trial(self.seed, self.repetition)

    @property
    def is_valid(self) -> bool:
        """Whether it says something about the policy: a dead server does not."""
        return self.cause != SIM_ERROR

    @property
    def is_finished(self) -> bool:
        """Whether the end of the route was reached."""
        return self.cause == "route_finished"

    @property
    def completion_pct(self) -> float:
        """Route completion, 0 to 100."""
        if self.is_finished:
            return 100.0
        return min(100.0, 100.0 * self.progress_m / self.length_m) if self.length_m else 0.0

    @property
    def outside_pct(self) -> float:
        """Share of the completed route that was driven outside its lanes, 0 to 100."""
        if self.progress_m <= 0.0:
            return 0.0
        return min(100.0, 100.0 * self.outside_route_m / self.progress_m)

    def count(self, cause: str) -> int:
        """Returns how often something happened; `collision` counts all collisions.

        The ends `blocked` and `time_limit` are infractions too, once each.
        """
        found = [event.cause for event in self.events]
        if self.cause not in found:
            found.append(self.cause)
        if cause == "collision":
            return sum(map(is_collision, found))
        return found.count(cause)


def drive_path(out: Path, policy: str, key: Key) -> Path:
    """Returns where a drive's result stands."""
    route, trial = key
    return Path(out) / "drives" / policy / f"{route}-{trial}.json"


def log_path(out: Path, policy: str, key: Key) -> Path:
    """Returns where a drive's event log stands, beside its result."""
    return drive_path(out, policy, key).with_suffix(".jsonl")


def save_drive(out: Path, result: DriveResult) -> None:
    """Writes a result atomically.

    Raises:
        StorageError: If it could not be written.
    """
    path = drive_path(out, result.policy, result.key)
    write_atomically(path, (json.dumps(to_dict(result), indent=1) + "\n").encode())


def load_drive(path: Path) -> DriveResult | None:
    """Returns a result, or None where none stands or what stands cannot be read."""
    try:
        return from_dict(DriveResult, json.loads(path.read_text()), str(path))
    except (OSError, ValueError, ConfigError):
        return None
