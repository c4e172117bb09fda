import pytest

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.route_xml import load_routes, read_towns
from dreamdrive.envs.carla.triggers import trigger_arc
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.routes import RoutesConfig, routes


def config(out, **fields):
    towns = {"train": ("Dream01",), "validation": (), "test": ("Dream06",)}
    return RoutesConfig(**towns | {"routes_per_town": 3, "out": out} | fields)


def test_splits_are_files_that_share_no_town(tmp_path):
    assert routes(config(tmp_path)) == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.xml", "train.xml"]
    assert set(read_towns(tmp_path / "train.xml").values()) == {"Dream01"}
    assert set(read_towns(tmp_path / "test.xml").values()) == {"Dream06"}
    with pytest.raises(ConfigError, match="Dream01 is in train and in test"):
        config(tmp_path, test=("maps/Dream01.xodr",))


def test_a_seed_fixes_the_files(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        routes(config(tmp_path / name, seed=seed, scenarios=("all",), test=()))
    a, b, c = ((tmp_path / name / "train.xml").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_scenarios_lie_on_their_routes_and_on_a_map_of_ones_own(tmp_path):
    town = load_town("Dream02")
    path = tmp_path / "Village.xodr"
    path.write_text(town.xodr)
    made = config(tmp_path / "out", train=(str(path),), test=(), scenarios=("all",))
    routes(made)
    found = load_routes(made.out / "train.xml", carla.Map("Village", town.xodr))
    assert [len(route.scenarios) for route in found] == [2, 2, 2]
    for route in found:
        arcs = [trigger_arc(route, spec) for spec in route.scenarios]
        assert None not in arcs
        assert arcs[1] - arcs[0] > 55.0
    with pytest.raises(ConfigError, match="no scenario type 'Odd'"):
        config(tmp_path, scenarios=("Odd",))
