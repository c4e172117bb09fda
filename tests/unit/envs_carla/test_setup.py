import json
from dataclasses import replace

import numpy as np
import pytest

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.route_xml import save_routes
from dreamdrive.envs.carla.routes import Route, fixed_routes, random_route
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec, WeatherPoint
from dreamdrive.envs.carla.setup import Defaults, parse_options, settle
from dreamdrive.envs.carla.weather import BOUNDS, PRESETS, random_weather
from dreamdrive.errors import ConfigError, DreamdriveError, RouteError

LENGTH_M = (150.0, 400.0)
DEFAULTS = Defaults(
    town="Dream01", vehicles=8, walkers=1, route_length_m=LENGTH_M, start_speed_mps=(0.0, 5.0)
)


def settled(carla_map, options, seed=7):
    return settle(parse_options(options, LENGTH_M), seed, DEFAULTS, carla_map)


def assert_same(a, b):
    for field in Route.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(a.route, field), getattr(b.route, field), field)
    assert replace(a, route=b.route, route_wish=b.route_wish) == b


RAIN = (WeatherPoint(route_pct=0.0, settings=(("precipitation", 60.0),)),)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weather": "HardRainNoon", "traffic": {"vehicles": 3, "walkers": 0, "seed": 12}},
        {"weather": {"preset": "ClearNoon", "fog_density": 31.7}},
        {"route": "Dream01-5", "start_speed_mps": 3.3},
        {"route": {"name": "Dream01-20-003", "length_m": [200.0, 250.0]}},
        {"scenario": "HardBreakRoute"},
        {"route": "Dream01-20-000", "scenario": [{"type": "ControlLoss", "x": 1.0, "y": -2.0}]},
    ],
)
def test_what_a_setup_says_of_itself_is_the_same_setup_even_through_json(carla_map, options):
    first = settled(carla_map, options)
    told = json.loads(json.dumps(first.as_options()))
    other = Defaults(
        town="Dream02", vehicles=1, walkers=0, route_length_m=(50.0, 60.0),
        start_speed_mps=(9.0, 9.0),
    )  # fmt: skip
    wish = parse_options(told, other.route_length_m)
    assert wish.town == "Dream01"
    assert_same(settle(wish, first.seed, other, carla_map), first)


def test_left_open_the_seed_and_the_environment_decide(carla_map):
    setup = settled(carla_map, None)
    route = random_route(carla_map, 7)
    np.testing.assert_array_equal(setup.route.xy, route.xy)
    assert setup.route.name == "Dream01-7"
    assert setup.weather.parameters() == random_weather(7)
    assert (setup.traffic.vehicles, setup.traffic.walkers, setup.traffic.seed) == (8, 1, 7)
    assert 0.0 <= setup.start_speed_mps <= 5.0
    moved = settled(carla_map, {"traffic": {"seed": 12}})
    assert replace(moved.traffic, seed=7) == setup.traffic
    assert moved.traffic.seed == 12


def test_routes_of_evaluations_are_known_by_name(carla_map):
    wanted = fixed_routes(carla_map, 20, 4)[3]
    found = settled(carla_map, {"route": wanted.name}).route
    assert found.name == wanted.name
    np.testing.assert_array_equal(found.xy, wanted.xy)


def test_a_route_at_hand_stands_in_the_setup_itself(carla_map):
    route = random_route(carla_map, 3, name="mine")
    setup = settled(carla_map, {"route": route})
    assert setup.route is route
    assert setup.as_options()["route"] is route


def test_a_route_of_a_file_comes_with_its_weather_and_scenarios(carla_map, tmp_path):
    file = tmp_path / "routes.xml"
    spec = ScenarioSpec(name="ControlLoss_1", type="ControlLoss", x=0.0, y=0.0)
    route = random_route(carla_map, 3, name="mine")
    save_routes(file, [replace(route, weather=RAIN, scenarios=(spec,))])
    setup = settled(carla_map, {"route": {"file": str(file), "id": "mine"}})
    assert setup.route.weather == RAIN
    assert [found.type for found in setup.route.scenarios] == ["ControlLoss"]
    assert setup.weather.preset == "route"
    again = settled(carla_map, json.loads(json.dumps(setup.as_options())))
    assert_same(again, setup)
    none = settled(carla_map, {"route": {"file": str(file), "id": "mine"}, "scenario": []})
    assert none.route.scenarios == ()


def test_a_named_weather_is_carlas_own(carla_map):
    for name, preset in PRESETS.items():
        assert settled(carla_map, {"weather": name}).weather.parameters() == preset
    assert set(BOUNDS) == {n for n in dir(carla.WeatherParameters()) if n[0].islower()}
    changed = settled(carla_map, {"weather": {"preset": "WetNoon", "wetness": 5.0}}).weather
    expected = carla.WeatherParameters(
        **{n: 5.0 if n == "wetness" else getattr(PRESETS["WetNoon"], n) for n in BOUNDS}
    )
    assert changed.parameters() == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colour": "red"}, "Unknown reset option 'colour'.*town, route, weather"),
        ({"seed": -1}, "seed cannot be -1"),
        ({"town": 3}, "town cannot be 3"),
        ({"route": 3}, "route cannot be 3.*Dream07-20-003"),
        ({"route": "nowhere"}, "nowhere.*Dream07-20-003"),
        ({"route": {"name": "Dream01-1", "length_m": (9, 3)}}, "bounds"),
        ({"route": "Dream01-1", "town": "Dream02"}, "lies in Dream01, not in Dream02"),
        ({"weather": "Snow"}, "no weather 'Snow'.*random.*ClearNoon"),
        ({"weather": {"snow": 3.0}}, "no weather setting 'snow'.*cloudiness"),
        ({"weather": {"cloudiness": 101}}, "cloudiness cannot be 101.*from 0 to 100"),
        ({"weather": {"wetness": float("nan")}}, "wetness cannot be nan"),
        ({"weather": {"wetness": "much"}}, "wetness cannot be 'much'"),
        ({"weather": 3}, "weather cannot be 3"),
        ({"traffic": 3}, "traffic cannot be 3.*vehicles, walkers, seed"),
        ({"traffic": {"cars": 3}}, "'cars'.*vehicles, walkers, seed"),
        ({"traffic": {"vehicles": -1}}, "number of vehicles cannot be -1"),
        ({"traffic": {"walkers": 1.5}}, "number of walkers cannot be 1.5"),
        ({"traffic": {"vehicles": True}}, "number of vehicles cannot be True"),
        ({"scenario": "Flood"}, "no scenario type 'Flood'.*ParkingCutIn"),
        ({"scenario": 3}, "scenario cannot be 3"),
        ({"scenario": [{"type": "ControlLoss"}]}, "type, x and y"),
        ({"scenario": [{"type": "Flood", "x": 0.0, "y": 0.0}]}, "no scenario type 'Flood'"),
        ({"start_speed_mps": -2.0}, "speed at the start cannot be -2.0"),
    ],
)
def test_impossible_options_are_refused_with_what_is_possible(options, words):
    with pytest.raises(ConfigError, match=f"(?s){words}"):
        parse_options(options, LENGTH_M)


def test_what_only_the_map_can_tell_is_refused_then(carla_map, tmp_path):
    with pytest.raises(ConfigError, match="no weather of its own"):
        settled(carla_map, {"weather": "route"})
    file = tmp_path / "routes.xml"
    save_routes(file, [random_route(carla_map, 3, name="mine")])
    with pytest.raises(RouteError, match=r"no route 'yours'.*mine"):
        parse_options({"route": {"file": file, "id": "yours"}}, LENGTH_M)
    with pytest.raises(DreamdriveError, match="no such route file"):
        parse_options({"route": {"file": "none.xml", "id": "0"}}, LENGTH_M)
