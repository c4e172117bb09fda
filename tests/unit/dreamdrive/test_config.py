import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from dreamdrive.config import from_dict, load_json, save_json, to_dict
from dreamdrive.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    width: int = 8
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError("width must be at least 1.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    name: str
    out: Path = Path("runs")
    kind: Literal["a", "b"] = "a"
    limit: int | None = None
    pair: tuple[float, float] = (1.0, 2.0)
    names: tuple[str, ...] = ()
    shares: dict[str, float] = field(default_factory=dict)
    is_on: bool = False
    inner: Inner = field(default_factory=Inner)


FULL = Outer(
    name="x", out=Path("data/train"), kind="b", limit=3, pair=(0.5, 7.0), names=("p", "q"),
    shares={"expert": 0.25}, is_on=True, inner=Inner(width=2, rate=1.5),
)  # fmt: skip


@pytest.mark.parametrize("config", [FULL, Outer(name="y")])
def test_a_config_survives_json(config: Outer, tmp_path: Path) -> None:
    save_json(config, tmp_path / "config.json")
    assert load_json(Outer, tmp_path / "config.json") == config
    assert json.loads((tmp_path / "config.json").read_text()) == to_dict(config)


def test_plain_types() -> None:
    plain = to_dict(FULL)
    assert plain["out"] == "data/train"
    assert plain["pair"] == [0.5, 7.0]
    assert plain["inner"] == {"width": 2, "rate": 1.5}


def test_an_integer_is_taken_for_a_float_but_not_the_other_way() -> None:
    assert from_dict(Inner, {"rate": 2}).rate == 2.0
    assert isinstance(from_dict(Inner, {"rate": 2}).rate, float)
    with pytest.raises(ConfigError, match=r"Expected int, got 2\.0"):
        from_dict(Inner, {"width": 2.0})


@pytest.mark.parametrize(
    ("data", "where", "what"),
    [
        ({"name": "x", "depth": 1}, "config.depth", "Unknown field 'depth'"),
        ({"name": "x", "inner": {"with": 1}}, "config.inner.with", "Unknown field 'with'"),
        ({}, "config", "required field is missing"),
        ({"name": 3}, "config.name", "Expected str, got 3"),
        ({"name": "x", "inner": {"rate": float("nan")}}, "config.inner.rate", "finite number"),
        ({"name": "x", "inner": {"rate": float("inf")}}, "config.inner.rate", "finite number"),
        ({"name": "x", "inner": {"rate": True}}, "config.inner.rate", "Expected float"),
        ({"name": "x", "kind": "c"}, "config.kind", "'c' is none of"),
        ({"name": "x", "pair": [1.0]}, "config.pair", "Expected 2 values, got 1"),
        ({"name": "x", "pair": 1.0}, "config.pair", "Expected a list"),
        ({"name": "x", "names": ["p", 1]}, "config.names[1]", "Expected str"),
        ({"name": "x", "shares": []}, "config.shares", "Expected a table"),
        ({"name": "x", "is_on": 1}, "config.is_on", "Expected bool"),
        ({"name": "x", "inner": {"width": 0}}, "config.inner", "width must be at least 1"),
        ([], "config", "Expected fields of Outer"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(data: object, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(Outer, data)
    assert caught.value.where == where
    assert what in caught.value.what


def test_an_unknown_field_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="Known fields: width, rate"):
        from_dict(Inner, {"depth": 1})


def test_a_missing_and_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(ConfigError, match="no such file"):
        load_json(Inner, path)
    path.write_text('{"width": 8')
    with pytest.raises(ConfigError, match="not JSON") as caught:
        load_json(Inner, path)
    assert caught.value.where == str(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not JSON"):
        load_json(Inner, path)
