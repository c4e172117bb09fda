"""Objects of the town take the mean colour of the textures that clients give them."""

import math

import numpy as np
import pytest

from support.server import call, listen, seen

carla = pytest.importorskip("carla")
pytestmark = pytest.mark.usefixtures("compiled_sensors")
KINDS = carla.MaterialParameter
SIZE = {"image_size_x": "96", "image_size_y": "64"}


def texture(*colours):
    """Returns a texture of one row."""
    made = carla.TextureColor(len(colours), 1)
    for x, colour in enumerate(colours):
        made.set(x, 0, carla.Color(*colour, 255))
    return made


def floats(*colours):
    made = carla.TextureFloatColor(len(colours), 1)
    for x, colour in enumerate(colours):
        made.set(x, 0, carla.FloatColor(*colour, 1.0))
    return made


@pytest.fixture
def house(world, client):
    """The first building, and a camera that shows what of it is red, green or blue alone."""
    (made, *_) = world.get_environment_objects(carla.CityObjectLabel.Buildings)
    yaw = made.transform.rotation.yaw
    away = made.bounding_box.extent.x + 12.0
    back = carla.Location(
        -away * math.cos(math.radians(yaw)), -away * math.sin(math.radians(yaw)), 4.0
    )
    place = carla.Transform(made.transform.location + back, carla.Rotation(yaw=yaw))
    sensor, pictures = listen(world, "sensor.camera.rgb", place, None, **SIZE)

    def shares():
        """Returns the shares of pixels in which red, green and blue are twice the others."""
        pixels = np.frombuffer(seen(world, pictures).raw_data, np.uint8).reshape(-1, 4)
        red, green, blue = (pixels[:, k].astype(float) for k in (2, 1, 0))
        return [
            float(((a > 2.0 * b) & (a > 2.0 * c)).mean())
            for a, b, c in ((red, green, blue), (green, blue, red), (blue, red, green))
        ]

    yield made.name, shares
    sensor.stop()
    client.reload_world(False)


def test_a_house_is_painted_and_its_windows_are_not(world, house):
    name, shares = house
    plain = shares()
    world.apply_color_texture_to_object(name, KINDS.Diffuse, texture((255, 0, 0), (205, 20, 0)))
    red = shares()
    assert red[0] > plain[0] + 0.2
    world.apply_float_color_texture_to_object(name, KINDS.Diffuse, floats((0.0, 0.0, 0.9)))
    blue = shares()
    assert blue[2] > plain[2] + 0.2
    assert blue[0] == plain[0]
    world.apply_float_color_texture_to_objects([name], KINDS.Normal, floats((0.9, 0.0, 0.0)))
    assert shares() == blue
    nothing = carla.TextureFloatColor(0, 0)
    world.apply_textures_to_object(name, texture((255, 0, 0)), nothing, nothing, nothing)
    assert shares()[0] == red[0]
    world.apply_textures_to_objects([name], texture((0, 0, 250)), nothing, nothing, nothing)
    assert shares()[2] == blue[2]
    world.apply_color_texture_to_objects([name], KINDS.Diffuse, texture((250, 0, 0)))
    assert shares()[0] == red[0]
    everything = 96 * 64
    assert 0 < red[0] * everything < everything  # Windows keep their glass.


@pytest.mark.parametrize(
    ("names", "parameter", "given", "words"),
    [
        (["Castle_0"], 2, [1, 1, [[1, 2, 3, 4]]], "'Castle_0' takes no texture"),
        ([7], 2, [1, 1, [[1, 2, 3, 4]]], "objects_name"),
        (["Building_0"], 9, [1, 1, [[1, 2, 3, 4]]], "parameter"),
        (["Building_0"], 2, [2, 1, [[1, 2, 3, 4]]], "of which there are 1"),
        (["Building_0"], 2, [0, 0, []], "of which there are 0"),
        (["Building_0"], 2, [1, 1, [[1, 2, 3]]], "four numbers"),
        (["Building_0"], 2, [1, 1, ["red"]], "four numbers"),
        (["Building_0"], 2, 3, "texture"),
    ],
)
def test_broken_textures_are_refused(server, client, names, parameter, given, words):
    for method in ("apply_color_texture_to_objects", "apply_float_color_texture_to_objects"):
        refused = call(server, method, names, parameter, given)[3][0]
        assert refused[0] is True
        assert words in refused[1][0]
