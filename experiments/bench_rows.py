"""What a benchmark reports: rows with their floors, and how a rate is taken."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WARM_UP_CALLS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: What was measured.
        unit: Of the value.
        cores: How many cores it ran on.
        value: The median; None where it could not be measured.
        samples: The repetitions.
        floor: What the value must reach; None where nothing is asked.
        is_ceiling: Whether the value must stay below `floor` instead.
        note: Why there is no value, or what it was measured with.
    """

    name: str
    unit: str
    cores: int
    value: float | None
    samples: tuple[float, ...] = ()
    floor: float | None = None
    is_ceiling: bool = False
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the floor is reached; None where there is no value or no floor."""
        if self.value is None or self.floor is None:
            return None
        return self.value <= self.floor if self.is_ceiling else self.value >= self.floor


def row_of(name: str, unit: str, cores: int, samples: list[float], **values: Any) -> Row:
    """Returns a row whose value is the median of samples; `values` are further fields."""
    median = statistics.median(samples)
    return Row(name=name, unit=unit, cores=cores, value=median, samples=tuple(samples), **values)


def per_second(call: Callable[[], object], seconds: float) -> float:
    """Returns how often something can be done a second, measured for at least so long."""
    for _ in range(WARM_UP_CALLS):
        call()
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        call()
        count += 1
    return count / passed
