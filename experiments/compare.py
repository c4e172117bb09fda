"""Compares two policies that drove the same routes with the same seeds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from tyro.conf import Positional

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.drives import Trial
from dreamdrive.experiments.pairing import is_real, pair, read_side
from dreamdrive.experiments.run import console
from dreamdrive.experiments.scorers.registry import DEFAULT, find_scorers
from dreamdrive.experiments.scores import MEASURE, Interval
from dreamdrive.experiments.summary import show
from dreamdrive.files import write_atomically


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareConfig:
    """What is compared, and by what."""

    a: Positional[str]
    """FOLDER of an evaluation, or FOLDER:POLICY where it holds several."""
    b: Positional[str]
    """The other; differences are the first less this one."""
    scorers: tuple[str, ...] = (DEFAULT,)
    """As in `dreamdrive rescore`; the first decides which is better."""
    worst: int = 10
    """How many of the drives are shown on which the first did worst against the other."""
    bootstrap_samples: int = 2000
    out: Path | None = None
    """JSON file that the comparison is written to."""

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ConfigError: If one is impossible.
        """
        if self.worst < 0 or self.bootstrap_samples < 100:
            raise ConfigError("worst cannot be negative, and bootstrap_samples is at least 100")


def compare(config: CompareConfig) -> Path | None:
    """Prints how two policies differ; returns the file that it was written to, if any.

    Raises:
        ConfigError: If a side or a scorer does not exist, or both have no route in common.
        EventLogError: If a result or a log cannot be read.
        NotMeasuredError: If the first scorer can score no drive that both made.
        StorageError: If the comparison could not be written.
    """
    scorers = find_scorers(config.scorers)
    a, b = read_side(config.a, scorers), read_side(config.b, scorers)
    found = pair(a, b, scorers, samples=config.bootstrap_samples, worst=config.worst)
    console.print(_differences(found))
    if config.worst:
        console.print(_worst(found))
    console.print(
        f"Of {found['num_routes']} routes ({found['scorer']}), {found['a']} won "
        f"{found['won_pct']:.0f} %, {found['b']} {found['lost_pct']:.0f} %; "
        f"{found['even_pct']:.0f} % were even.",
        markup=False, highlight=False,
    )  # fmt: skip
    console.print(found["sentence"], markup=False, highlight=False)
    if config.out is not None:
        write_atomically(config.out, (json.dumps(found, indent=1) + "\n").encode())
    return config.out


def _differences(found: Mapping[str, Any]) -> Table:
    title = f"{found['a']} minus {found['b']}: {found['num_pairs']} pairs, 95 % intervals"
    table = Table(title=title)
    table.add_column("measure")
    table.add_column("difference", justify="right")
    table.add_column("differs")
    for name, values in found["differences"].items():
        difference, measure = Interval(**values), MEASURE.get(name)
        label = name
        if measure is not None:
            label = f"{measure.label}, {measure.unit}" if measure.unit else measure.label
        differs = is_real(difference, found["chances"][name])
        table.add_row(label, show(difference, 2), "yes" if differs else "")
    return table


def _worst(found: Mapping[str, Any]) -> Table:
    table = Table(title=f"Where {found['a']} did worst against {found['b']}, {found['scorer']}")
    for heading in ("route", "seed", found["a"], found["b"], "what happened", "to the other"):
        table.add_column(heading)
    for row in found["worst"]:
        table.add_row(
            row["route"], str(Trial(row["seed"], row["repetition"])), f"{row['a']:.1f}",
            f"{row['b']:.1f}", row["a_ended"], row["b_ended"],
        )  # fmt: skip
    return table
