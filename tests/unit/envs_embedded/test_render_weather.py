"""Fog, its glow and rain, against closed forms and against what each parameter means."""

import numpy as np
import pytest

from dreamdrive.envs.embedded.render.lamplight import LIGHT, Lamplight
from dreamdrive.envs.embedded.render.mesh import Finish, MeshBuilder, Tag
from dreamdrive.envs.embedded.render.rain import DOWNWIND, FALL_MPS, WIND_MPS, rain
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.view import Lens, Pose
from dreamdrive.envs.embedded.render.weather import (
    FOG_DENSITY,
    FOG_FALLOFF,
    PRECIPITATION,
    SCATTERING,
    SUN_ALTITUDE,
    SUN_AZIMUTH,
    WIND,
    light_of,
)
from dreamdrive.envs.embedded.simulator import CLEAR_NOON, Simulator
from dreamdrive.envs.embedded.towns import load_town
from support.shapes import look_at, triangles_of

ORIGIN = Pose(0, 0, 0, 0, 0, 0)
LENS = Lens(65, 65, 60.0)
TOWER_M = 30.0


def sky(**changes):
    """Returns clear noon with other parameters, by their places in the list."""
    found = list(CLEAR_NOON)
    places = {
        "fog": FOG_DENSITY, "falloff": FOG_FALLOFF, "scattering": SCATTERING,
        "altitude": SUN_ALTITUDE, "azimuth": SUN_AZIMUTH, "rain": PRECIPITATION, "wind": WIND,
    }  # fmt: skip
    for name, value in changes.items():
        found[places[name]] = value
    return found


def tower(distance=TOWER_M, ground_m=0.0):
    """Returns a wall without any light of its own or from elsewhere, from the ground up."""
    builder = MeshBuilder()
    x, half = distance, 400.0
    low, high = ground_m, ground_m + half
    corners = [(x, -half, low), (x, -half, high), (x, half, high), (x, half, low)]
    builder.polygon(corners, Tag.BUILDING, (0.0, 0.0, 0.0), finish=Finish.GLOWING)
    return builder


def coloured(builder, weather, pose):
    """Returns red, green and blue within [0, 1], shape (H, W, 3)."""
    return look_at(builder, weather).coloured(pose, LENS, 1)[:, :, 2::-1] / 255.0


def upward(row, pose):
    """Returns how much a ray of the middle column rises on each metre ahead."""
    return np.tan(np.radians(pose.pitch) + np.arctan((32.5 - row - 0.5) / LENS.focal))


@pytest.mark.parametrize("height", [1.5, 20.0, 90.0])
@pytest.mark.parametrize("falloff", [0.0, 0.1, 1.0, 5.0, 400.0])
def test_fog_thins_with_height(falloff, height):
    """The share of light that is left is e^-∫, the integral of haze and fog along the ray."""
    weather, pose = sky(fog=60.0, falloff=falloff, scattering=0.0), Pose(0, 0, height, 0, 0, 0)
    light = light_of(weather)
    seen = coloured(tower(), weather, pose)
    per_m = 0.05 * 0.6**1.5
    for row in range(0, 65, 4):
        rise = TOWER_M * upward(row, pose)
        if height + rise < 0.0:
            continue
        heights = height + np.linspace(0.0, rise, 20001)
        mean = np.trapezoid(0.5 ** (heights * falloff / 10.0), dx=1.0 / 20000)
        distance = np.hypot(TOWER_M, rise) - light.haze[1]
        kept = np.exp(-(light.haze[0] + per_m * mean) * distance)
        np.testing.assert_allclose(seen[row, 32], light.horizon * (1.0 - kept), atol=0.004)


def test_the_top_of_a_tower_is_clearer_than_its_foot_in_heavy_fog():
    """A black tower is the darker the less fog there is before it."""
    pose = Pose(0, 0, 1.5, 20.0, 0, 0)
    thick, light, even = (
        coloured(tower(), sky(fog=80.0, falloff=falloff, scattering=0.0), pose)[:, 32].sum(-1)
        for falloff in (5.0, 0.1, 0.0)
    )
    assert thick[2] < 0.3 * thick[-10]
    assert light[2] > 0.9 * light[-10]
    assert even[2] > even[-10]  # It is farther away.


@pytest.mark.parametrize(
    ("fog", "falloff", "is_hidden"),
    [(100.0, 0.1, True), (60.0, 0.0, True), (60.0, 5.0, False), (2.0, 0.1, False)],
)
def test_the_sky_is_hidden_by_fog_that_reaches_high(fog, falloff, is_hidden):
    """A kilometre of fog at most is looked through."""
    pose = Pose(0, 0, 1.5, 40.0, 180.0, 0)
    weather = sky(fog=fog, falloff=falloff, scattering=0.0)
    seen, plain = (coloured(MeshBuilder(), air, pose) for air in (weather, sky(fog=0.0)))
    horizon, per_m = light_of(weather).horizon, 0.05 * (fog / 100.0) ** 1.5
    for row in range(0, 65, 8):
        up = np.sin(np.arctan(upward(row, pose)))
        heights = 1.5 + np.linspace(0.0, 1000.0 * up, 200001)
        mean = np.trapezoid(0.5 ** (heights * falloff / 10.0), dx=1.0 / 200000)
        kept = np.exp(-per_m * mean * 1000.0)
        assert kept < 0.02 if is_hidden else kept > 0.7
        wanted = horizon + kept * (plain[row, 32] - horizon)
        np.testing.assert_allclose(seen[row, 32], wanted, atol=0.005)


def test_fog_lies_on_the_lowest_road():
    weather, seen = sky(fog=60.0, falloff=3.0, scattering=0.0), []
    for ground_m in (0.0, 500.0):
        look = look_at(tower(ground_m=ground_m), weather)
        look.triangles.ground_m = ground_m
        seen.append(look.coloured(Pose(0, 0, ground_m + 2.0, 0, 0, 0), LENS, 1))
    np.testing.assert_allclose(*seen, atol=1.0)
    triangles = Simulator(load_town("DreamHills"), synchronous=True).eyes()._look.triangles
    roads = triangles.points[triangles.tag == Tag.ROAD]
    assert triangles.ground_m == roads[:, :, 2].min()


def test_fog_glows_towards_the_sun_as_scattering_says():
    """By Henyey's and Greenstein's phase function for a mean cosine of 0.75."""
    weathers = [
        sky(fog=60.0, altitude=20.0, azimuth=0.0, scattering=value) for value in (0, 1.0, 2.0)
    ]
    light = light_of(weathers[1])
    for yaw, pitch in ((0.0, 0.0), (40.0, 10.0), (180.0, 0.0)):
        pose = Pose(0, 0, 1.5, pitch, yaw, 0)
        ahead, right, up = pose.axes()
        corners = [
            [0, 0, 1.5] + TOWER_M * ahead + 90.0 * (a * right + b * up)
            for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))
        ]
        builder = MeshBuilder()
        builder.polygon(corners, Tag.BUILDING, (0, 0, 0), finish=Finish.GLOWING)
        none, once, twice = (coloured(builder, weather, pose)[32, 32] for weather in weathers)
        cos = float(light.sun @ ahead)
        phase = (0.25**2 / (1.0 + 0.75**2 - 1.5 * cos)) ** 1.5
        fog, distance = light.fog[0], TOWER_M - light.haze[1]
        lost = 1.0 - np.exp(-(fog + light.haze[0]) * distance)
        wanted = 0.5 * phase * lost * fog / (fog + light.haze[0]) * light.direct
        np.testing.assert_allclose(once - none, wanted, atol=0.006)
        is_short = none + 2.0 * wanted < 0.98
        np.testing.assert_allclose((twice - none)[is_short], 2.0 * wanted[is_short], atol=0.008)


def test_fog_glows_by_day_alone_and_the_sky_with_it():
    towards = Pose(0, 0, 1.5, 10.0, 0.0, 0)
    for altitude, is_lit in ((20.0, True), (-20.0, False)):
        dull, bright = (
            coloured(
                MeshBuilder(),
                sky(fog=60.0, altitude=altitude, azimuth=0.0, scattering=value),
                towards,
            )
            for value in (0.0, 1.0)
        )
        assert (bright.mean() > dull.mean() + 0.04) == is_lit
        assert (bright == dull).all() != is_lit


def rained(weather, time_s=0.0, pose=ORIGIN, builder=None, samples=1, lamplight=None):
    """Returns what rain adds to a black picture: red, green and blue, shape (H, W, 3)."""
    lens = Lens(240, 240, 60.0)
    image = Image(
        triangles_of(builder or MeshBuilder()),
        pose,
        lens._replace(width=samples * lens.width, height=samples * lens.height),
    )
    painted = np.zeros((lens.height, lens.width, 4), np.uint8)
    rain(painted, image, weather, light_of(weather), lamplight, time_s, samples)
    return painted[:, :, 2::-1].astype(float)


def slant(picture):
    """Returns how far streaks lie to the right for each pixel that they fall.

    Of some slants the one along which the light of ten rows is gathered in the fewest columns.
    """
    slants = np.arange(-1.2, 1.2001, 0.05)
    gathered = []
    for slant in slants:
        rows = [np.roll(row, -round(slant * (k % 10))) for k, row in enumerate(picture[:, :, 1])]
        gathered.append((np.array(rows).reshape(-1, 10, picture.shape[1]).sum(1) ** 2).sum())
    return slants[int(np.argmax(gathered))]


@pytest.mark.parametrize("samples", [1, 2])
def test_rain_slants_with_the_wind(samples):
    """By its speed over that of the fall, to the right of who looks across it, or to the left."""
    downwind = np.degrees(np.arctan2(DOWNWIND[1], DOWNWIND[0]))
    for wind in (0.0, 50.0, 100.0):
        for side in (-1.0, 1.0):
            across = Pose(0, 0, 0, 0, downwind + 90.0 * side, 0)
            seen = slant(rained(sky(rain=100.0, wind=wind), pose=across, samples=samples))
            wanted = -side * WIND_MPS * wind / 100.0 / FALL_MPS
            assert seen == pytest.approx(wanted, abs=0.11)


def test_more_rain_has_more_streaks_and_none_has_none():
    light, heavy = (np.count_nonzero(rained(sky(rain=rain))) for rain in (20.0, 100.0))
    assert 300 < light < 0.35 * heavy
    assert rained(sky(rain=0.0)).max() == 0.0


def test_a_camera_that_falls_with_the_rain_sees_it_stand_still():
    weather = sky(rain=100.0, wind=70.0)
    first, later = rained(weather), rained(weather, time_s=0.35)
    assert (first != later).mean() > 0.02
    np.testing.assert_array_equal(first, rained(weather))
    fallen = 0.35 * np.array(
        [0.7 * WIND_MPS * DOWNWIND[0], 0.7 * WIND_MPS * DOWNWIND[1], -FALL_MPS]
    )
    along = rained(weather, time_s=0.35, pose=Pose(*fallen.tolist(), 0, 0, 0))
    assert (along == first).mean() > 0.999


def test_walls_hide_the_rain_behind_them():
    builder = MeshBuilder()
    corners = [(2.0, 0.0, -9.0), (2.0, 0.0, 9.0), (2.0, 9.0, 9.0), (2.0, 9.0, -9.0)]
    builder.polygon(corners, Tag.WALL, (0.5, 0.5, 0.5))
    free, hidden = rained(sky(rain=100.0)), rained(sky(rain=100.0), builder=builder)
    np.testing.assert_array_equal(free[:, :119], hidden[:, :119])
    assert np.count_nonzero(hidden[:, 121:]) < 0.3 * np.count_nonzero(free[:, 121:])


def test_drops_catch_the_light_of_lamps():
    """Those that are 1 to 8 m before a lamp of a beam; none behind it catches any."""
    night = sky(rain=100.0, altitude=-30.0)
    row = np.zeros(1, LIGHT)
    row["axes"], row["colour"], row["reach"], row["owner"] = np.eye(3), (3000.0, 0.0, 0.0), 60.0, -1
    row["wide"], row["below"], row["above"] = 0.55, 0.2, 0.03
    lamplight = Lamplight(np.zeros(3), row, np.zeros((0, 7)))
    places = np.array([[5.0, 0.0, -0.5], [-5.0, 0.0, -0.5], [5.0, 4.0, -0.5]])
    middle, behind, aside = lamplight.at(places)
    assert middle[0] > 10.0 * aside[0] > 0.0 == behind[0]
    assert middle[1:].max() == 0.0
    dark, lit = (rained(night, lamplight=light)[:, :, 0] for light in (None, lamplight))
    assert (lit >= dark).all()
    assert lit[120:].max() > 120.0 > 60.0 > dark.max()


def test_cameras_see_rain_that_falls_from_tick_to_tick():
    sim = Simulator(load_town("Dream01"), synchronous=True)
    sim.weather = sky(rain=100.0)
    pose, lens = Pose(0.0, 0.0, 60.0, 30.0, 0.0, 0.0), Lens(96, 64, 90.0)
    pictures = []
    for _ in range(2):
        sim.begin_tick()
        sim.finish_tick()
        look = sim.eyes()._look
        look.update(sim.weather)
        pictures.append(look.coloured(pose, lens, 1))
        np.testing.assert_array_equal(pictures[-1], look.coloured(pose, lens, 1))
    assert (pictures[0] != pictures[1]).any()
