"""Light of lamps by night, against closed forms and against what each switch means."""

import numpy as np
import pytest

from dreamdrive.envs.embedded.environment import environment_of
from dreamdrive.envs.embedded.lamps import NO_POST
from dreamdrive.envs.embedded.render.lamplight import LIGHT, MOST, PER_CELL, SPREAD, Lamplight
from dreamdrive.envs.embedded.render.lanterns import (
    BRAKES,
    FAR_M,
    HIGH,
    LAMP_REACH_M,
    LAMP_STRENGTH,
    LOW,
    MOST_LIGHTS,
    lights_around,
)
from dreamdrive.envs.embedded.render.mesh import Finish, MeshBuilder, Tag
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.shadows import Shadows
from dreamdrive.envs.embedded.render.switches import BRAKE, HIGH_BEAM, LOW_BEAM, POSITION
from dreamdrive.envs.embedded.render.view import Lens, Pose, attached
from dreamdrive.envs.embedded.render.weather import SUN_ALTITUDE, light_of
from dreamdrive.envs.embedded.simulator import CLEAR_NOON, Simulator
from dreamdrive.envs.embedded.towns import load_town
from support.shapes import triangles_of

HIGH_UP = Pose(20.0, 0.0, 40.0, -89.999, 0.0, 0.0)
LENS = Lens(120, 120, 90.0)
PASSED = Pose(-10.0, 0.0, 8.0, -25.0, 0.0, 0.0)


def sky(altitude):
    found = list(CLEAR_NOON)
    found[SUN_ALTITUDE] = altitude
    return found


NIGHT, NOON = sky(-30.0), sky(45.0)


def ground(*, tag=Tag.SIDEWALK, finish=Finish.MATT, colour=(0.5, 0.5, 0.5)):
    builder = MeshBuilder()
    builder.polygon([(-90, -90, 0), (90, -90, 0), (90, 90, 0), (-90, 90, 0)], tag, colour,
                    finish=finish)  # fmt: skip
    return builder


def lamp(at=(20.0, 0.0, 6.0), strength=30.0, reach=24.0):
    row = np.zeros(1, LIGHT)
    row["at"], row["colour"], row["reach"], row["owner"] = at, strength, reach, -1.0
    return row


def beam(at=(0.0, 0.0, 0.7), shape=LOW, owner=-1.0):
    row = lamp(at, shape[0], shape[1])
    row["axes"], row["owner"] = np.eye(3), owner
    row["wide"], row["below"], row["above"] = shape[2:]
    return row


def shone(lamps, builder=None, boxes=(), *, pose=HIGH_UP, samples=1, weather=NIGHT):
    """Returns the light that is added to a black picture, and places on the ground, (H, W, 3)."""
    triangles = triangles_of(builder or ground())
    image = Image(triangles, pose, Lens(samples * LENS.width, samples * LENS.height, LENS.fov))
    light = light_of(weather)
    light.haze[:], light.fog[:] = [0.0, 0.0, light.haze[2]], 0.0
    painted = np.zeros((LENS.height, LENS.width, 4), np.uint8)
    shadows = Shadows().around(image.camera[0], light, triangles)
    boxes = np.array(boxes, np.float64).reshape(-1, 7)
    Lamplight(image.camera[0], lamps, boxes).add(painted, image, light, shadows, samples)
    rows, columns = np.mgrid[: LENS.height, : LENS.width]
    focal = LENS.width / 2.0
    x = pose.x + pose.z * (LENS.height / 2.0 - rows - 0.5) / focal
    y = pose.y + pose.z * (columns + 0.5 - LENS.width / 2.0) / focal
    return painted[:, :, 2::-1] / 255.0, x, y


def at(picture, x, y, where):
    """Returns the colour at a place."""
    away = np.hypot(x - where[0], y - where[1])
    return picture[np.unravel_index(away.argmin(), away.shape)]


def test_a_street_lamp_shines_as_its_closed_form():
    picture, x, y = shone(lamp(), pose=HIGH_UP)
    for aside in (0.0, 3.0, 6.0, 10.0, 16.0):
        square = 36.0 + aside * aside
        cos = 6.0 / np.sqrt(square)
        plain = 30.0 * cos * cos * (1.0 - (square / 24.0**2) ** 2) / square
        wanted = 0.5 * plain / (1.0 + plain / MOST)
        for where in ((20.0 + aside, 0.0), (20.0, -aside)):
            # A block of pixels has the light of its first: 1.3 m at most.
            near = [
                at(picture, x, y, (where[0] + a, where[1] + b))[0] for a in (-1, 1) for b in (-1, 1)
            ]
            assert min(near) - 0.02 < wanted < max(near) + 0.02
    assert at(picture, x, y, (20.0 + 25.0, 0.0)).max() == 0.0


def test_light_takes_the_colour_of_the_lamp_and_of_what_it_shines_at():
    row = lamp(strength=10.0)
    row["colour"] *= (1.0, 0.5, 0.0)
    seen = at(*shone(row, ground(colour=(0.4, 0.8, 0.8))), (20.0, 0.0))
    plain = 10.0 / 36.0 * (1.0 - (36.0 / 24.0**2) ** 2) * np.array([1.0, 0.5, 0.0])
    np.testing.assert_allclose(
        seen, np.array([0.4, 0.8, 0.8]) * plain / (1.0 + plain / MOST), atol=0.02
    )
    assert shone(row, ground(finish=Finish.GLOWING))[0].max() == 0.0


def test_wet_roads_are_darker_under_lamps_too():
    wet = sky(-30.0)
    wet[9] = 100.0
    dry, dark = (
        shone(lamp(), ground(tag=Tag.ROAD), weather=weather)[0].sum() for weather in (NIGHT, wet)
    )
    assert dark / dry == pytest.approx(0.6, abs=0.02)


def test_a_beam_shines_ahead_as_its_closed_form():
    picture, x, y = shone(beam())
    for ahead, aside in ((6.0, 0.0), (10.0, 2.0), (16.0, -4.0), (25.0, 0.0)):
        square = ahead**2 + aside**2 + 0.49
        slope, up = aside / ahead, -0.7 / ahead + 0.01
        fall = 1.0 + (slope / LOW[2]) ** 2 + (up / LOW[4] if up > 0.0 else -up / LOW[3])
        plain = LOW[0] * 0.7 / square**1.5 * (1.0 - (square / LOW[1] ** 2) ** 2)
        plain *= (1.0 - (slope / SPREAD) ** 2) ** 2 / fall**3
        wanted = 0.5 * plain / (1.0 + plain / MOST)
        near = [at(picture, x, y, (ahead + a, aside + b))[0] for a in (-1, 1) for b in (-1, 1)]
        assert min(near) - 0.02 < wanted < max(near) + 0.02
    assert picture[x < -0.5].max() == 0.0
    assert np.abs(picture - picture[:, ::-1]).mean() < 0.01


@pytest.mark.parametrize("owner", [-1.0, 0.0])
def test_a_box_stops_a_beam_unless_it_is_its_own(owner):
    box = (12.0, 0.0, 1.0, 1.0, 0.3, 0.0, 2.0)
    free, x, y = shone(beam())
    stopped, _, _ = shone(beam(owner=owner), boxes=[box])
    in_its_shadow, before = (18.0, 0.0), (8.0, 0.0)
    assert (at(stopped, x, y, in_its_shadow) < 0.1 * at(free, x, y, in_its_shadow)).all() == (
        owner < 0
    )
    for where in (before, (18.0, 6.0), (18.0, -6.0)):
        np.testing.assert_array_equal(at(stopped, x, y, where), at(free, x, y, where))
    for low, high in ((3.0, 9.0), (-9.0, -1.0)):  # On a bridge, and below one.
        above, _, _ = shone(beam(), boxes=[(*box[:5], low, high)])
        np.testing.assert_array_equal(above, free)


def test_edges_of_objects_take_the_light_of_their_samples():
    builder = ground()
    builder.box((20.0, 0.0, 1.0), (2.0, 2.0, 1.0), 0.0, Tag.CAR, (0.2, 0.9, 0.2))
    fine, coarse = (shone(lamp(strength=6.0), builder, samples=samples)[0] for samples in (2, 1))
    assert np.abs(fine - coarse).mean() < 0.01
    top = np.isclose(coarse[:, :, 1] / np.maximum(coarse[:, :, 0], 1e-9), 4.5, rtol=0.1)
    assert 20 < top.sum() < 60


def test_a_square_knows_its_brightest_lamps():
    """So many weak ones first, and a bright one last, which has to be seen."""
    weak = np.concatenate([lamp((20.0 + k % 3, k % 5, 6.0), 0.01) for k in range(4 * PER_CELL)])
    bright, x, y = shone(np.concatenate([weak, lamp()]))
    alone, _, _ = shone(lamp())
    here = at(bright, x, y, (20.0, 0.0)) - at(alone, x, y, (20.0, 0.0))
    assert 0.0 <= here.max() < 0.01


def night_of(town, spawn_point, *, kind="vehicle.lincoln.mkz_2020", weather=NIGHT):
    town = load_town(town)
    sim = Simulator(town, synchronous=True)
    car = sim.world.spawn(kind, {}, *town.spawn_points[spawn_point]).id
    sim.weather = weather
    sim.let_lamps_follow_sun()
    return sim, car


def seen(sim, pose, weather=None):
    look = sim.eyes()._look
    look.update(weather or sim.weather)
    return look.coloured(pose, Lens(96, 72, 90.0), 1)[:, :, 2::-1].astype(int)


def test_a_vehicle_shines_as_its_light_state_says():
    sim, car = night_of("Dream01", 0)
    for state in sim.world.lamps.states.values():
        state[5] = False
    pose = attached(sim.world.pose(car), Pose(1.0, 0.0, 6.0, -15.0, 0.0, 0.0))
    nobody_told = seen(sim, pose)
    pictures = {}
    for flags in (0, POSITION, LOW_BEAM, HIGH_BEAM, LOW_BEAM | HIGH_BEAM):
        sim.light_states[car] = flags
        pictures[flags] = seen(sim, pose)
        np.testing.assert_array_equal(pictures[flags], seen(sim, pose))
    np.testing.assert_array_equal(pictures[LOW_BEAM], nobody_told)
    np.testing.assert_array_equal(pictures[POSITION], pictures[0])
    np.testing.assert_array_equal(pictures[HIGH_BEAM], pictures[LOW_BEAM | HIGH_BEAM])
    dark, low, high = (pictures[flags].sum(-1) for flags in (0, LOW_BEAM, HIGH_BEAM))
    assert (low >= dark).all()
    assert (low > dark + 60).mean() > 0.1
    far = slice(20, 36)
    assert (high - low)[far].sum() > 500
    assert HIGH[1] > LOW[1] > BRAKES[1]


def test_brakes_shine_red_behind_a_vehicle():
    sim, car = night_of("Dream01", 0)
    pose = attached(sim.world.pose(car), Pose(-7.0, 0.0, 2.5, -20.0, 0.0, 0.0))
    before = seen(sim, pose)
    for by_pedal in (True, False):
        sim.world.vehicles.brake[sim.world.vehicles.row[car]] = float(by_pedal)
        sim.light_states[car] = LOW_BEAM if by_pedal else LOW_BEAM | BRAKE
        added = seen(sim, pose) - before
        on_the_road = added[40:]
        assert (on_the_road[:, :, 0] > 10).mean() > 0.02
        assert on_the_road[:, :, 0].sum() > 4 * on_the_road[:, :, 2].sum() > -1


def test_lamp_posts_shine_where_they_stand_and_lamps_that_are_off_do_not():
    sim, _ = night_of("DreamCurves", 0)
    lamps, objects = sim.world.lamps, environment_of(sim.world.town)
    posts = [k for k, made in enumerate(objects) if made.name.startswith("StreetLamp")]
    assert lamps.posts == posts
    for post, state in zip(lamps.posts, lamps.states.values(), strict=True):
        (x, y, z), place = objects[post].place, state[1]
        assert np.hypot(place[0] - x, place[1] - y) == pytest.approx(1.05)
        assert place[2] == pytest.approx(z + 5.9)
    post, state = lamps.posts[0], lamps.states[1]
    x, y, z = state[1]
    below = Pose(x, y, z - 1.0, -89.0, 0.0, 0.0)
    lit = seen(sim, below)
    told = list(state)
    told[5] = False
    lamps.update([told])
    off = seen(sim, below)
    assert lit.mean() > off.mean() + 40
    told[5], told[2], told[4] = True, 2500.0, [0, 0, 255]
    lamps.update([told])
    blue = seen(sim, below) - off
    assert blue[:, :, 2].mean() > 5 > 1 > np.abs(blue[:, :, :2]).mean()
    sim.world.take_away(frozenset({post}))
    assert np.abs(seen(sim, below) - off).mean() < 1.0  # The post itself is gone.


def test_towns_without_posts_have_lamps_all_the_same():
    sim, _ = night_of("Dream01", 0)
    assert set(sim.world.lamps.posts) == {NO_POST}
    x, y, z = sim.world.lamps.states[1][1]
    above = Pose(x, y, z + 2.0, -89.0, 0.0, 0.0)
    lit = seen(sim, above)
    for state in sim.world.lamps.states.values():
        state[5] = False
    assert lit.mean() > seen(sim, above).mean() + 30


def test_the_lens_of_a_lamp_glows_by_night_while_it_is_on():
    sim, _ = night_of("DreamCurves", 0)
    x, y, z = sim.world.lamps.states[1][1]
    up = Pose(x, y, z - 3.0, 89.0, 0.0, 0.0)
    middle = [seen(sim, up)[36, 48]]
    sim.world.lamps.states[1][5] = False
    middle.append(seen(sim, up)[36, 48])
    assert middle[0].min() > 200 > 60 > middle[1].max()


def test_by_day_no_lamp_shines_at_anything():
    sim, car = night_of("DreamCurves", 0, weather=NOON)
    x, y, z = sim.world.lamps.states[1][1]
    poses = (
        Pose(x, y, z - 1.0, -89.0, 0.0, 0.0),
        attached(sim.world.pose(car), Pose(1.0, 0.0, 6.0, -15.0, 0.0, 0.0)),
    )
    before = [seen(sim, pose) for pose in poses]
    for state in sim.world.lamps.states.values():
        state[5] = True
    sim.light_states[car] = HIGH_BEAM
    for pose, plain in zip(poses, before, strict=True):
        np.testing.assert_array_equal(seen(sim, pose), plain)


def test_vehicles_stand_in_the_way_of_street_lamps():
    sim, bus = night_of("Dream01", 0, kind="vehicle.mitsubishi.fusorosa")
    x, y, z = sim.world.lamps.states[1][1]
    for state in sim.world.lamps.states.values():
        state[5] = state[0] == 1
    sim.world.vehicles.pose[0] = x, y, 0.0
    sim.light_states[bus] = 0
    under = Pose(x - 9.0, y, z - 5.7, 0.0, 0.0, 0.0)
    look = sim.eyes()._look
    look.update(NIGHT)
    image = look.image(under, Lens(96, 72, 60.0))
    before = look.coloured(under, Lens(96, 72, 60.0), 1).astype(int)
    sim.world.lamps.states[1][5] = False
    look.update(NIGHT)
    added = (before - look.coloured(under, Lens(96, 72, 60.0), 1)).sum(-1)
    tags = image.triangles.tag[image.triangle]
    depth = image.depth()
    is_ground = np.isin(tags, (Tag.ROAD, Tag.SIDEWALK, Tag.TERRAIN)) & (image.triangle >= 0)
    columns = np.abs(np.arange(96) - 47.5)[None] * depth / 83.0
    below = is_ground & (depth > 6.0) & (depth < 11.0) & (columns < 0.8)
    before_it = is_ground & (depth > 3.0) & (depth < 4.5)
    assert below.sum() > 5
    assert added[below].max() == 0
    assert added[before_it].mean() > 5


def test_only_the_nearest_lamps_around_an_eye_shine():
    sim, _ = night_of("DreamMotorway", 30)
    look = sim.eyes()._look
    look.update(NIGHT)
    places = np.array([state[1] for state in sim.world.lamps.states.values()])
    eye = places[3]
    found = lights_around(sim.world, look.triangles, look._scene.flags, eye)
    away = np.linalg.norm(found["at"] - eye, axis=1)
    assert (np.diff(away) >= 0.0).all()
    assert len(found) <= MOST_LIGHTS
    assert away.max() < FAR_M
    near = np.linalg.norm(places - eye, axis=1) < 0.9 * away.max()
    assert near.sum() <= len(found)
    assert found["colour"][0].max() == pytest.approx(LAMP_STRENGTH)
    assert found["reach"][0] == LAMP_REACH_M
