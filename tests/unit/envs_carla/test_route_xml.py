import numpy as np
import pytest

from dreamdrive.envs.carla.route_xml import load_routes, read_towns, save_routes
from dreamdrive.envs.carla.routes import fixed_routes
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


def test_one_route_can_be_asked_for(tmp_path, carla_map):
    save_routes(tmp_path / "routes.xml", fixed_routes(carla_map, 1, 3))
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
