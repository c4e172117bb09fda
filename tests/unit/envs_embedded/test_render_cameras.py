import struct

import numpy as np
import pytest

from dreamdrive.envs.embedded.render.eyes import SENSORS
from dreamdrive.envs.embedded.render.mesh import Finish, MeshBuilder, Tag
from dreamdrive.envs.embedded.render.paint import paint
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.settings import settings_of
from dreamdrive.envs.embedded.render.shadows import Shadows
from dreamdrive.envs.embedded.render.view import Lens, Pose
from dreamdrive.envs.embedded.render.weather import SCATTERING, SUN_ALTITUDE, light_of
from dreamdrive.envs.embedded.simulator import CLEAR_NOON
from dreamdrive.envs.embedded.world import SpawnError
from support.shapes import look_at, triangles_of, wall

ORIGIN = Pose(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def sent(kind, builder, pose=ORIGIN, size=(16, 12), weather=CLEAR_NOON):
    """Returns a camera's pixels as red, green, blue, shape (H, W, 3)."""
    width, height = size
    kind = f"sensor.camera.{kind}"
    settings = settings_of(kind, {"image_size_x": str(width), "image_size_y": str(height)})
    ((_, payload),) = SENSORS[kind](kind, settings).sense(look_at(builder, weather), 1, pose, 0.05)
    assert struct.unpack_from("<IIf", payload) == (width, height, 90.0)
    pixels = np.frombuffer(payload, np.uint8, offset=12).reshape(height, width, 4)
    assert (pixels[:, :, 3] == 255).all()
    return pixels[:, :, 2::-1].astype(np.int64)


@pytest.mark.parametrize("distance", [0.06, 1.0, 12.345, 250.0, 999.0])
def test_depth_is_written_in_24_bits(distance):
    builder = MeshBuilder()
    wall(builder, distance, Tag.WALL, half=3000.0)
    red, green, blue = np.moveaxis(sent("depth", builder), -1, 0)
    metres = 1000.0 * (red + 256 * green + 65536 * blue) / (2**24 - 1)
    np.testing.assert_allclose(metres, distance, rtol=1e-5, atol=4e-5)


def test_the_sky_is_a_thousand_metres_away():
    builder = MeshBuilder()
    wall(builder, 5.0, Tag.WALL)
    assert (sent("depth", builder, ORIGIN._replace(yaw=180.0)) == 255).all()


def test_tags_are_red_and_instances_green_and_blue():
    builder = MeshBuilder()
    wall(builder, 5.0, Tag.CAR, instance=0x1234)
    assert (sent("semantic_segmentation", builder) == (14, 0, 0)).all()
    assert (sent("instance_segmentation", builder) == (14, 0x34, 0x12)).all()
    away = ORIGIN._replace(yaw=180.0)
    assert (sent("semantic_segmentation", builder, away) == (11, 0, 0)).all()


def test_normals_are_the_worlds():
    builder = MeshBuilder()
    wall(builder, 5.0, Tag.WALL)
    for roll in (0.0, 40.0):
        assert (sent("normals", builder, ORIGIN._replace(roll=roll)) == (0, 127, 127)).all()


def test_colours_are_lit_by_the_sun_and_go_with_it():
    builder = MeshBuilder()
    wall(builder, 5.0, Tag.WALL)
    behind = [*CLEAR_NOON]
    behind[4:6] = 180.0, 30.0
    lit = sent("rgb", builder, weather=behind)
    ahead, night = [*behind], [*behind]
    ahead[4], night[SUN_ALTITUDE] = 0.0, -60.0
    shaded, dark = sent("rgb", builder, weather=ahead), sent("rgb", builder, weather=night)
    assert lit.min() > shaded.max() > dark.max() > 5
    light = light_of(behind)
    facing = -light.sun[0]
    expected = 0.5 * (light.ambient * 0.85 + light.direct * facing)
    distance = 5.0 * np.sqrt(1.0 + 2.0 * (0.25 / 8.0) ** 2)
    kept = np.exp(-(light.haze[0] + light.fog[0]) * (distance - light.haze[1]))
    expected = expected * kept + light.horizon * (1.0 - kept)
    np.testing.assert_allclose(lit[6, 8], 255.0 * expected, atol=1.0)


def test_fog_hides_what_is_far_and_lamps_shine_at_night():
    near, far, lamp = MeshBuilder(), MeshBuilder(), MeshBuilder()
    wall(near, 3.0, Tag.WALL)
    wall(far, 200.0, Tag.WALL, half=900.0)
    lamp.polygon(
        [(5, -9, -9), (5, -9, 9), (5, 9, 9), (5, 9, -9)], Tag.TRAFFIC_LIGHT, (1.0, 0.1, 0.0),
        finish=Finish.GLOWING,
    )  # fmt: skip
    foggy, night = [*CLEAR_NOON], [*CLEAR_NOON]
    foggy[6], foggy[SCATTERING], night[SUN_ALTITUDE] = 80.0, 0.0, -60.0
    haze = 255.0 * light_of(foggy).horizon
    assert np.abs(sent("rgb", far, weather=foggy) - haze).max() < 3.0
    assert np.abs(sent("rgb", near, weather=foggy) - haze).min() > 20.0
    np.testing.assert_allclose(sent("rgb", lamp, weather=night)[6, 8], (255, 26, 0), atol=2)


@pytest.mark.parametrize("tag", [Tag.ROAD, Tag.SIDEWALK])
def test_a_wet_road_mirrors_the_sky_the_more_the_flatter_one_looks(tag):
    """m = 0.6 (0.02 + 0.98 (1 - cos)^5), of a road that is darker by 0.4."""
    builder = MeshBuilder()
    builder.polygon(
        [(-300, -300, -2), (300, -300, -2), (300, 300, -2), (-300, 300, -2)], tag, (0.4, 0.4, 0.4)
    )
    dry, wet = [*CLEAR_NOON], [*CLEAR_NOON]
    dry[7] = wet[7] = 1000.0
    wet[9] = 100.0
    before, after = (sent("rgb", builder, size=(64, 64), weather=sky) for sky in (dry, wet))
    light = light_of(wet)
    for row in (34, 40, 63):
        down = (row + 0.25 - 32.0) / 32.0  # The first of the samples of a pixel.
        cos = down / np.hypot(1.0, down)
        m = 0.6 * (0.02 + 0.98 * (1.0 - cos) ** 5) if tag == Tag.ROAD else 0.0
        sky = light.horizon + (1.0 - (1.0 - cos) ** 3) * (light.zenith - light.horizon)
        shade = (0.6 if tag == Tag.ROAD else 1.0) * before[row, 32]
        np.testing.assert_allclose(after[row, 32], shade * (1.0 - m) + 255.0 * m * sky, atol=1.5)


def test_the_edge_of_an_object_is_the_mean_of_its_samples():
    builder = MeshBuilder()
    corners = [(4.0, -50.0, -50.0), (4.0, -50.0, 50.0), (4.0, 0.25, 50.0), (4.0, 0.25, -50.0)]
    builder.polygon(corners, Tag.WALL, (1.0, 1.0, 1.0), finish=Finish.GLOWING)
    clear = [*CLEAR_NOON]
    clear[7] = 100.0
    light, lens = light_of(clear), Lens(32, 24, 90.0)
    triangles = triangles_of(builder)
    shadows = Shadows().around(np.zeros(3), light, triangles)
    pixels = paint(Image(triangles, ORIGIN, lens), light, shadows, 2)[:, :, 2::-1].astype(int)
    # A pixel is half a metre wide there: the wall ends in the middle of the ninth.
    assert (pixels[6, 7] == 255).all()
    sky = pixels[6, 9]
    np.testing.assert_allclose(pixels[6, 8], (255 + sky) / 2.0, atol=3.0)


def test_the_sky_is_brightest_at_the_sun():
    weather = [*CLEAR_NOON]
    weather[4:6] = 90.0, 20.0
    towards = sent("rgb", MeshBuilder(), Pose(0, 0, 0, 20.0, 90.0, 0), weather=weather)
    away = sent("rgb", MeshBuilder(), Pose(0, 0, 0, 20.0, -90.0, 0), weather=weather)
    assert towards[6, 8].sum() > away[6, 8].sum() + 150


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size_x", "0"),
        ("image_size_y", "1e9"),
        ("fov", "180"),
        ("fov", "wide"),
        ("fov", "nan"),
    ],
)
def test_a_camera_that_cannot_be_says_why(name, value):
    with pytest.raises(SpawnError, match=f"{name} must lie within"):
        settings_of("sensor.camera.rgb", {name: value})
