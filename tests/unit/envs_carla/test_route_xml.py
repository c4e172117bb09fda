import json
from dataclasses import replace

import numpy as np
import pytest

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.route_xml import load_routes, read_entries, read_towns, save_routes
from dreamdrive.envs.carla.routes import fixed_routes
from dreamdrive.envs.carla.scenarios.specification import WeatherPoint
from dreamdrive.envs.carla.triggers import read_triggers, trigger_arc, with_triggers
from dreamdrive.envs.carla.weather import RouteWeather
from dreamdrive.errors import RouteError


def test_routes_survive_a_file(tmp_path, carla_map):
    routes = fixed_routes(carla_map, 1, 6)
    save_routes(tmp_path / "routes.xml", routes)
    loaded = load_routes(tmp_path / "routes.xml", carla_map)
    assert [r.name for r in loaded] == [r.name for r in routes]
    for before, after in zip(routes, loaded, strict=True):
        assert after.length_m == pytest.approx(before.length_m, abs=2.0)
        gap = np.linalg.norm(after.xy[:, None] - before.xy[None], axis=2).min(1)
        assert gap.max() < 0.6


def test_no_position_lies_in_a_junction_where_lanes_lie_upon_each_other(tmp_path, carla_map):
    routes = fixed_routes(carla_map, 1, 6)
    assert any(route.in_junction.any() for route in routes)
    save_routes(tmp_path / "routes.xml", routes)
    for entry in read_entries(tmp_path / "routes.xml"):
        places = [carla.Location(x=x, y=-y, z=z) for x, y, z in entry.positions[1:-1]]
        inner = [carla_map.get_waypoint(place) for place in places]
        assert not any(waypoint.is_junction for waypoint in inner)


def test_one_route_can_be_asked_for(tmp_path, carla_map):
    save_routes(tmp_path / "routes.xml", fixed_routes(carla_map, 1, 3))
    assert (tmp_path / "routes.xml").read_text().count("<scenarios") == 3  # Evaluators need them.
    (route,) = load_routes(tmp_path / "routes.xml", carla_map, ["Dream01-1-002"])
    assert route.name == "Dream01-1-002"
    with pytest.raises(RouteError, match="no route 'x'"):
        load_routes(tmp_path / "routes.xml", carla_map, ["x"])


def test_the_file_has_the_leaderboards_form(tmp_path, carla_map):
    (route,) = fixed_routes(carla_map, 1, 1)
    path = tmp_path / "routes.xml"
    save_routes(path, [route])
    text = path.read_text()
    assert '<route id="Dream01-1-000" town="Dream01">' in text
    x, y = route.xy[0]
    assert f'<position x="{x:.3f}" y="{-y:.3f}" z="{route.z[0]:.3f}" />' in text
    assert read_towns(path) == {"Dream01-1-000": "Dream01"}


BOMB = '<!DOCTYPE x [<!ENTITY a "b">]><routes><route id="1" town="T">&a;</route></routes>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<routes><route", "not a safe XML"),
        (BOMB, "not a safe XML"),
        ("<routes/>", "holds no routes"),
        ("<routes><route id='1'/></routes>", "no id or no town"),
        ("<routes><route id='1' town='T'/></routes>", "no positions"),
        (
            "<routes><route id='1' town='T'><waypoints><position x='a' y='0'/></waypoints>"
            "</route></routes>",
            "position is broken",
        ),
        (
            "<routes>" + "<route id='1' town='T'><waypoints><position x='0' y='0'/></waypoints>"
            "</route>" * 2 + "</routes>",
            "not a safe XML|same id|broken",
        ),
    ],
)
def test_a_broken_file_is_refused(tmp_path, text, words):
    path = tmp_path / "routes.xml"
    path.write_text(text)
    with pytest.raises(RouteError, match=words):
        read_towns(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RouteError, match=r"no such route file.*none\.xml"):
        read_towns(tmp_path / "none.xml")


FORMS = {
    "2.x": """<routes><route id="7" town="Dream01">
  <weathers><weather route_percentage="0" cloudiness="5"/>
    <weather route_percentage="100" cloudiness="50"/></weathers>
  <waypoints><position x="{a.x}" y="{a.y}" z="0"/><position x="{b.x}" y="{b.y}" z="0"/></waypoints>
  <scenarios><scenario name="ParkingCutIn_1" type="ParkingCutIn">
    <trigger_point x="{a.x}" y="{a.y}" z="0" yaw="90"/><direction value="right"/>
    <interval from="10" to="80"/></scenario></scenarios></route></routes>""",
    "1.0": """<routes><route id="7" town="Dream01">
  <weather id="Noon" cloudiness="5"/>
  <waypoint pitch="0" roll="0" x="{a.x}" y="{a.y}" yaw="0" z="0"/>
  <waypoint pitch="0" roll="0" x="{b.x}" y="{b.y}" yaw="0" z="0"/></route></routes>""",
}


@pytest.fixture
def ends(carla_map):
    lanes = [p for p in carla_map.generate_waypoints(20.0) if not p.is_junction]
    start = next(p for p in lanes if len(p.next(25.0)) == 1)
    return start.transform.location, start.next(25.0)[0].transform.location


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_the_leaderboard_is_the_same_route(tmp_path, carla_map, ends, form):
    path = tmp_path / "routes.xml"
    path.write_text(FORMS[form].format(a=ends[0], b=ends[1]))
    (entry,) = read_entries(path)
    assert entry.positions[0] == pytest.approx((ends[0].x, -ends[0].y, 0.0))
    assert entry.where == f"{path}:1"
    route = entry.on(carla_map)
    assert route.length_m == pytest.approx(25.0, abs=5.0)
    assert route.weather[0].settings == (("cloudiness", 5.0),)


def test_scenarios_and_weather_survive_a_file(tmp_path, carla_map, ends):
    path, again = tmp_path / "routes.xml", tmp_path / "again.xml"
    path.write_text(FORMS["2.x"].format(a=ends[0], b=ends[1]))
    (route,) = load_routes(path, carla_map)
    (spec,) = route.scenarios
    assert (spec.name, spec.type) == ("ParkingCutIn_1", "ParkingCutIn")
    assert (spec.x, spec.y) == pytest.approx((ends[0].x, -ends[0].y))
    assert spec.yaw_rad == pytest.approx(-np.pi / 2)
    assert spec.value("direction") == "right"
    assert spec.number("interval", 0.0, "to") == 80.0
    assert spec.number("speed", 7.0) == 7.0
    save_routes(again, [route])
    (read,) = load_routes(again, carla_map)
    assert read.scenarios[0].parameters == spec.parameters
    assert read.scenarios[0].x == pytest.approx(spec.x, abs=1e-3)
    assert read.weather == route.weather


def test_a_subset_is_written_as_the_leaderboard_does(tmp_path, carla_map):
    path = tmp_path / "routes.xml"
    save_routes(
        path, [replace(r, name=str(i)) for i, r in enumerate(fixed_routes(carla_map, 1, 6))]
    )
    assert [e.name for e in read_entries(path, "0-2,4")] == ["0", "1", "2", "4"]
    assert [e.name for e in read_entries(path, "5")] == ["5"]
    with pytest.raises(RouteError, match="no route '9' of the subset"):
        read_entries(path, "0-9")


def test_a_subset_may_name_routes_with_dashes(tmp_path, carla_map):
    path = tmp_path / "routes.xml"
    routes = fixed_routes(carla_map, 1, 6)
    names = [f"Dream06-1-{i:03d}" for i in range(6)]
    save_routes(path, [replace(r, name=n) for n, r in zip(names, routes, strict=True)])
    subset = "Dream06-1-000-Dream06-1-002,Dream06-1-004"
    assert [e.name for e in read_entries(path, subset)] == [*names[:3], names[4]]
    with pytest.raises(RouteError, match="no route 'Dream06-1-009' of the subset"):
        read_entries(path, "Dream06-1-009")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("<routes>\n<route id='1' town='T'>\n<waypoints>\n<position x='1'/>", 4, "not a safe XML"),
        ("<routes>\n\n<route town='T'/></routes>", 3, "no id or no town.*Write it as"),
        ("<routes><route id='1' town='T'>\n<waypoint x='0'/></route></routes>", 2, "it has no y"),
        (
            "<routes><route id='1' town='T'>\n<waypoint x='nan' y='0'/></route></routes>",
            2, "a finite number",
        ),
        ("<routes><route id='1' town='T'>\n<waypoint x='0' y='0'/></route></routes>", 2, "needs 2"),
        (
            "<routes><route id='1' town='T'><waypoint x='0' y='0'/><waypoint x='9' y='0'/>\n"
            "<scenarios>\n<scenario type='A'/></scenarios></route></routes>",
            3, "not one trigger point",
        ),
        (
            "<routes><route id='1' town='T'><waypoint x='0' y='0'/><waypoint x='9' y='0'/>\n"
            "<weather fogginess='3'/></route></routes>",
            2, "no weather setting 'fogginess'",
        ),
    ],
)  # fmt: skip
def test_an_error_names_the_line(tmp_path, text, line, words):
    path = tmp_path / "routes.xml"
    path.write_text(text)
    with pytest.raises(RouteError, match=words) as caught:
        read_entries(path)
    assert f"{path}:{line}" in str(caught.value)


def test_a_route_off_the_map_names_its_line(tmp_path, carla_map):
    path = tmp_path / "routes.xml"
    path.write_text(
        "<routes>\n<route id='1' town='Dream01'><waypoint x='9e3' y='0'/><waypoint x='9e3' y='9'/>"
        "</route></routes>"
    )
    with pytest.raises(RouteError, match=r"not on a driving lane .*routes\.xml:2"):
        load_routes(path, carla_map)


def triggers_file(tmp_path, *transforms, number="Scenario3"):
    events = [{"transform": {k: str(v) for k, v in t.items()}} for t in transforms]
    block = {"scenario_type": number, "available_event_configurations": events}
    path = tmp_path / "triggers.json"
    path.write_text(json.dumps({"available_scenarios": [{"Dream01": [block]}]}))
    return path


def test_triggers_of_1_0_find_their_routes(tmp_path, carla_map):
    (route,) = fixed_routes(carla_map, 1, 1)
    bend = np.convolve(np.abs(route.curvature), np.ones(31), mode="same")
    at = int(bend[20:-20].argmin()) + 20
    x, y = route.xy[at]
    yaw = -np.degrees(route.yaw[at])
    here = {"x": x, "y": -y, "z": 0.0, "yaw": yaw, "pitch": 0.0}
    left = 2.5 * np.array([-np.sin(route.yaw[at]), np.cos(route.yaw[at])])
    turned, aside = here | {"yaw": yaw + 15.0}, here | {"x": x + left[0], "y": -y - left[1]}
    triggers = read_triggers(triggers_file(tmp_path, turned, aside, here))
    assert len(triggers["Dream01"]) == 3
    (spec,) = with_triggers(route, triggers).scenarios
    assert spec.type == "DynamicObjectCrossing"
    assert trigger_arc(route, spec) == pytest.approx(route.arc[at])
    assert with_triggers(replace(route, town="Dream02"), triggers).scenarios == ()


def test_a_broken_file_of_triggers_says_where(tmp_path):
    path = triggers_file(tmp_path, {"x": 0.0, "y": "a"})
    with pytest.raises(RouteError, match="Dream01, entry 0, configuration 0"):
        read_triggers(path)
    path.write_text('{\n"available_scenarios": [}')
    with pytest.raises(RouteError, match=r"no JSON.*triggers\.json:2"):
        read_triggers(path)
    path.write_text("[]")
    with pytest.raises(RouteError, match="another form"):
        read_triggers(path)


class World:
    def __init__(self):
        self.weather, self.changes = carla.WeatherParameters(), []

    def get_weather(self):
        return self.weather

    def set_weather(self, weather):
        self.changes.append(weather.cloudiness)


def test_weather_changes_along_the_route(carla_map):
    (route,) = fixed_routes(carla_map, 1, 1)
    points = [
        WeatherPoint(route_pct=p, settings=(("cloudiness", c),)) for p, c in [(0, 0), (100, 50)]
    ]
    world, weather = World(), RouteWeather(points, route.length_m)
    for share in (0.0, 0.01, 0.5, 1.0):
        weather.step(world, share * route.length_m)
    assert world.changes == pytest.approx([0.0, 25.0, 50.0])
    RouteWeather((), route.length_m).step(world, 0.0)
    assert len(world.changes) == 3
