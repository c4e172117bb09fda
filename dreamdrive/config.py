"""Frozen dataclasses to strict JSON and back: a file with an unknown field is refused."""

import dataclasses
import json
import math
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from dreamdrive.errors import ConfigError
from dreamdrive.files import write_atomically

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """Returns a dataclass instance as plain JSON types, nested dataclasses included."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return plain


def from_dict(cls: type[T], data: Any, where: str = "config") -> T:
    """Returns `cls` built from plain JSON types; the inverse of `to_dict`.

    Args:
        cls: A dataclass.
        data: What `json.loads` returned.
        where: The name of the value, for error messages.

    Raises:
        ConfigError: If a field is unknown or missing, or has the wrong type or an impossible value.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"Expected fields of {cls.__name__}, got {data!r}", where=where)
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise ConfigError(
            f"Unknown field {unknown[0]!r}", where=f"{where}.{unknown[0]}",
            do=f"Known fields: {', '.join(fields)}.",
        )  # fmt: skip
    values = {name: _value(hints[name], value, f"{where}.{name}") for name, value in data.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(f"A required field is missing: {error}", where=where) from error
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error).rstrip("."), where=where) from error


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        rest = [arg for arg in args if arg is not type(None)]
        for arg in rest[:-1]:
            try:
                return _value(arg, value, where)
            except ConfigError:
                continue
        return _value(rest[-1], value, where)
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"{value!r} is none of {args}", where=where)
        return value
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise ConfigError(f"Expected a list, got {value!r}", where=where)
        inner = args[0] if origin is list or (len(args) == 2 and args[1] is Ellipsis) else None
        if inner is None and len(args) != len(value):
            raise ConfigError(f"Expected {len(args)} values, got {len(value)}", where=where)
        kinds = args if inner is None else [inner] * len(value)
        pairs = enumerate(zip(kinds, value, strict=True))
        return origin([_value(kind, item, f"{where}[{i}]") for i, (kind, item) in pairs])
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"Expected a table, got {value!r}", where=where)
        return {key: _value(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ConfigError(f"Expected a finite number, got {value!r}", where=where)
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is Any or (hint in (int, str, bool) and type(value) is hint):
        return value
    raise ConfigError(f"Expected {getattr(hint, '__name__', hint)}, got {value!r}", where=where)


def load_json(cls: type[T], path: Path) -> T:
    """Returns `cls` read from a JSON file.

    Raises:
        ConfigError: If the file is missing, is not JSON, or does not fit `cls`.
    """
    try:
        data = json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise ConfigError("There is no such file", where=path) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"This is not JSON: {error}", where=path) from error
    return from_dict(cls, data, str(path))


def save_json(config: Any, path: Path) -> None:
    """Writes a dataclass as JSON, under a temporary name first."""
    write_atomically(Path(path), (json.dumps(to_dict(config), indent=2) + "\n").encode())
