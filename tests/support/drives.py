"""Results of drives that nobody drove, with known scores."""

from dreamdrive.experiments.drive_jobs import Conditions
from dreamdrive.experiments.drives import DriveEvent, DriveResult

CONDITIONS = Conditions(num_vehicles=0)


def drive(policy="p", route="T-1-000", seed=0, completion=100.0, causes=(), **fields):
    """Returns a drive of 1 km; `causes` are its infractions in order."""
    length_m = fields.pop("length_m", 1000.0)
    events = tuple(
        DriveEvent(cause=cause, time_s=float(i), x=0.0, y=0.0) for i, cause in enumerate(causes)
    )
    facts = {
        "spec": policy, "fingerprint": "f", "conditions": CONDITIONS.digest, "town": "T",
        "outside_m": 0.0, "outside_route_m": 0.0, "decisions": 100, "time_s": 10.0,
        "mean_speed_mps": 5.0, "ms_per_decision": 1.0,
        "cause": "route_finished" if completion == 100.0 else "blocked",
    }  # fmt: skip
    return DriveResult(
        policy=policy, route=route, seed=seed, length_m=length_m,
        progress_m=length_m * completion / 100.0, events=events, **(facts | fields),
    )  # fmt: skip
