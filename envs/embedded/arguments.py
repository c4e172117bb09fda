"""Checks of what callers send: each returns the value or says which argument is wrong and why."""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

FAR_M, MAX_ANGLE_DEG = 1e9, 1e9
"""Bounds of places and angles: sums of a few of them fit into the 32 bits that streams have."""


class CallError(Exception):
    """A call that cannot be answered; the text goes to the caller."""


class NotReadyError(Exception):
    """What a call asks for is still being made.

    Args:
        again: Answers the call once it is there, or raises this again.
    """

    def __init__(self, again: Callable[[], Any]) -> None:
        super().__init__()
        self.again = again


def check_tree(values: Sequence[Any], max_depth: int) -> bool:
    """Checks that nested lists are not too deep and hold no map, and looks at their numbers.

    It is run for every call, so it goes level by level and looks at all of a level at once.

    Returns:
        Whether all numbers are finite for certain; if not, `check_finite` tells.

    Raises:
        CallError: If they are too deep or hold a map.
    """
    level, depth, is_finite = values, 0, True
    while level:
        kinds = set(map(type, level))
        if dict in kinds:
            raise CallError("the arguments hold a map, which no call takes")
        if float in kinds:
            is_plain = kinds <= {float, int, bool}
            numbers = level if is_plain else [value for value in level if type(value) is float]
            is_finite = is_finite and math.isfinite(sum(numbers))
        if list not in kinds:
            break
        depth += 1
        if depth > max_depth:
            raise CallError("the arguments are nested too deeply")
        lists = level if len(kinds) == 1 else [value for value in level if type(value) is list]
        level = list(chain.from_iterable(lists))
    return is_finite


def check_finite(values: Sequence[Any]) -> None:
    """Checks that nested lists hold no number that is not finite.

    Raises:
        CallError: If they do.
    """
    for value in values:
        if type(value) is float:
            if not math.isfinite(value):
                raise CallError(f"the arguments hold {value}, which is not finite")
        elif type(value) is list:
            check_finite(value)


def number(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Returns a finite number within bounds.

    Raises:
        CallError: If it is none.
    """
    if type(value) not in (int, float) or not math.isfinite(value):
        raise CallError(f"{name} must be a finite number, got {_shown(value)}")
    if not low <= value <= high:
        raise CallError(f"{name} must lie within [{low:g}, {high:g}], got {value:g}")
    return float(value)


def integer(value: Any, name: str, low: int = 0, high: int = 2**32 - 1) -> int:
    """Returns a whole number within bounds.

    Raises:
        CallError: If it is none.
    """
    if type(value) is not int or not low <= value <= high:
        raise CallError(f"{name} must be a whole number in [{low}, {high}], got {_shown(value)}")
    return value


def flag(value: Any, name: str) -> bool:
    """Returns a truth value.

    Raises:
        CallError: If it is none.
    """
    if type(value) is not bool:
        raise CallError(f"{name} must be true or false, got {_shown(value)}")
    return value


def text(value: Any, name: str, max_length: int = 1024) -> str:
    """Returns a string of limited length.

    Raises:
        CallError: If it is none.
    """
    if type(value) is not str or len(value) > max_length:
        raise CallError(f"{name} must be a text of at most {max_length} characters")
    return value


def numbers(value: Any, name: str, count: int, most: float = math.inf) -> list[float]:
    """Returns so many finite numbers, none of which is larger than `most` or smaller than `-most`.

    Raises:
        CallError: If they are not.
    """
    if type(value) is not list or len(value) != count:
        raise CallError(f"{name} must be {count} numbers, got {_shown(value)}")
    return [number(item, f"{name}[{i}]", -most, most) for i, item in enumerate(value)]


def items(value: Any, name: str, count: int | None = None) -> list[Any]:
    """Returns a list, of a length where one is given.

    Raises:
        CallError: If it is none.
    """
    if type(value) is not list or (count is not None and len(value) != count):
        wanted = "a list" if count is None else f"a list of {count}"
        raise CallError(f"{name} must be {wanted}, got {_shown(value)}")
    return value


def transform(value: Any, name: str) -> tuple[float, float, float, float, float, float]:
    """Returns x, y, z and pitch, yaw, roll in degrees.

    Raises:
        CallError: If it is no transform.
    """
    location, rotation = items(value, name, 2)
    x, y, z = numbers(location, f"{name}.location", 3, FAR_M)
    pitch, yaw, roll = numbers(rotation, f"{name}.rotation", 3, MAX_ANGLE_DEG)
    return x, y, z, pitch, yaw, roll


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
