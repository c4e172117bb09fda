"""Cameras of the embedded server, through CARLA's own client."""

import queue

import numpy as np
import pytest

from support.server import call, listen, seen

carla = pytest.importorskip("carla")
pytestmark = pytest.mark.usefixtures("compiled_sensors")

SIZE = {"image_size_x": "96", "image_size_y": "64", "fov": "80"}
PLACE = carla.Transform(carla.Location(x=-8.0, z=2.5), carla.Rotation(pitch=-10.0))
KINDS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "normals")


def pixels(image):
    """Returns red, green and blue, shape (H, W, 3)."""
    rows = np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)
    return rows[:, :, 2::-1].astype(np.int64)


@pytest.mark.parametrize("kind", KINDS)
def test_a_camera_sends_an_image_a_tick_from_where_it_is_attached(world, car, kind):
    sensor, messages = listen(world, f"sensor.camera.{kind}", PLACE, car, **SIZE)
    image = seen(world, messages)
    assert (image.width, image.height) == (96, 64)
    assert image.fov == pytest.approx(80.0)
    assert len(image.raw_data) == 96 * 64 * 4
    assert image.timestamp == pytest.approx(world.get_snapshot().timestamp.elapsed_seconds)
    there = car.get_transform()
    wanted = there.transform(carla.Location(x=-8.0, z=2.5))
    for found in (image.transform, sensor.get_transform()):
        assert found.location.distance(wanted) < 1e-3
        assert found.rotation.pitch == pytest.approx(-10.0, abs=1e-4)
        assert found.rotation.yaw == pytest.approx(there.rotation.yaw, abs=1e-3)
    frame = world.tick()
    assert messages.get(timeout=10.0).frame == frame
    sensor.stop()


def test_a_camera_on_a_spring_arm_looks_at_its_parent(world, car):
    blueprint = world.get_blueprint_library().find("sensor.camera.instance_segmentation")
    for name, value in SIZE.items():
        blueprint.set_attribute(name, value)
    place = carla.Transform(carla.Location(x=4.0, y=-6.0, z=3.0))
    sensor = world.spawn_actor(blueprint, place, car, carla.AttachmentType.SpringArmGhost)
    messages = queue.Queue()
    sensor.listen(messages.put)
    _, low, high = np.moveaxis(pixels(seen(world, messages)), -1, 0)
    assert (low + 256 * high)[32, 48] == car.id
    sensor.stop()


def test_depth_tag_and_instance_of_a_car_ahead_agree(world, car):
    ahead = car.get_transform()
    ahead.location += 20.0 * ahead.get_forward_vector() + carla.Location(z=0.3)
    bus = world.get_blueprint_library().find("vehicle.mitsubishi.fusorosa")
    other = world.try_spawn_actor(bus, ahead)
    assert other is not None
    place = carla.Transform(carla.Location(x=3.0, z=1.5))
    found = {}
    for kind in ("depth", "semantic_segmentation", "instance_segmentation"):
        sensor, messages = listen(world, f"sensor.camera.{kind}", place, car, **SIZE)
        found[kind] = pixels(seen(world, messages))
        sensor.stop()
    red, green, blue = found["depth"][32, 48]
    distance = 20.0 - 3.0 - other.bounding_box.extent.x
    metres = 1000.0 * (red + 256 * green + 65536 * blue) / (2**24 - 1)
    assert metres == pytest.approx(distance, abs=0.03)
    tag, low, high = found["instance_segmentation"][32, 48]
    assert (tag, low + 256 * high) == (16, other.id)
    is_bus = found["semantic_segmentation"][:, :, 0] == 16
    np.testing.assert_array_equal(is_bus, found["instance_segmentation"][:, :, 0] == 16)
    assert is_bus[32, 48]
    assert 11 in found["semantic_segmentation"][:, :, 0]
    assert 1 in found["semantic_segmentation"][:, :, 0]


def test_the_clients_converters_read_the_images(world, car):
    sensor, messages = listen(world, "sensor.camera.depth", PLACE, car, **SIZE)
    image = seen(world, messages)
    image.convert(carla.ColorConverter.LogarithmicDepth)
    grey = pixels(image)[:, :, 0]
    assert grey[2, 48] > grey[60, 48]
    sensor.stop()


def test_night_is_darker_than_noon(world, car):
    sensor, messages = listen(world, "sensor.camera.rgb", PLACE, car, **SIZE)
    noon = pixels(seen(world, messages)).mean()
    before = world.get_weather()
    world.set_weather(carla.WeatherParameters(sun_altitude_angle=-80.0))
    night = pixels(seen(world, messages)).mean()
    world.set_weather(before)
    assert night < 0.4 * noon
    assert pixels(seen(world, messages)).mean() == pytest.approx(noon, rel=0.05)
    sensor.stop()


WEATHERS = {
    "noon": {"sun_altitude_angle": 50.0}, "dusk": {"sun_altitude_angle": 4.0},
    "rain": {"sun_altitude_angle": 35.0, "fog_density": 45.0, "precipitation": 70.0},
    "night": {"sun_altitude_angle": -20.0},
}  # fmt: skip


def test_weather_is_seen_by_cameras_that_see_colours_and_by_no_others(world, car):
    others = ("depth", "semantic_segmentation", "instance_segmentation", "normals",
              "optical_flow", "cosmos_visualization")  # fmt: skip
    made = {
        kind: listen(world, f"sensor.camera.{kind}", PLACE, car, **SIZE)
        for kind in ("rgb", *others)
    }
    pictures = {kind: set() for kind in made}
    for _, messages in made.values():
        seen(world, messages)
    for values in WEATHERS.values():
        world.set_weather(carla.WeatherParameters(**values))
        world.tick()
        frame = world.tick()
        for kind, (_, messages) in made.items():
            pictures[kind].add(bytes(image_of(messages, frame).raw_data))
    for sensor, _ in made.values():
        sensor.stop()
    assert {kind: len(seen) for kind, seen in pictures.items()} == {
        "rgb": len(WEATHERS),
        **dict.fromkeys(others, 1),
    }


@pytest.mark.parametrize(
    ("name", "value", "fog", "is_seen"),
    [
        ("dust_storm", 100.0, 2.0, True), ("mie_scattering_scale", 0.5, 2.0, True),
        ("rayleigh_scattering_scale", 0.0, 2.0, True), ("cloudiness", 90.0, 2.0, True),
        ("precipitation", 90.0, 2.0, True), ("fog_density", 60.0, 2.0, True),
        ("wetness", 100.0, 2.0, True), ("sun_azimuth_angle", 200.0, 2.0, True),
        ("scattering_intensity", 5.0, 60.0, True), ("scattering_intensity", 5.0, 0.0, False),
        ("fog_falloff", 3.0, 60.0, True), ("fog_falloff", 3.0, 0.0, False),
        ("wind_intensity", 100.0, 2.0, False),
    ],
)  # fmt: skip
def test_parameters_of_the_weather_are_seen(world, car, name, value, fog, is_seen):
    sensor, messages = listen(world, "sensor.camera.rgb", PLACE, car, **SIZE)
    world.set_weather(carla.WeatherParameters.ClearNoon)
    weather = world.get_weather()
    weather.fog_density, weather.sun_altitude_angle = fog, 20.0
    weather.sun_azimuth_angle = car.get_transform().rotation.yaw
    world.set_weather(weather)
    before = pixels(seen(world, messages))
    setattr(weather, name, value)
    world.set_weather(weather)
    after = pixels(seen(world, messages))
    sensor.stop()
    changed = int(np.abs(after - before).max())
    assert changed > 4 if is_seen else changed == 0


def test_wind_slants_the_rain_that_colour_cameras_see(world, car):
    size = {"image_size_x": "480", "image_size_y": "360", "fov": "60"}
    kinds = ("rgb", "depth", "semantic_segmentation")
    high = carla.Transform(carla.Location(z=25.0))
    made = {kind: listen(world, f"sensor.camera.{kind}", high, car, **size) for kind in kinds}
    first = {kind: pixels(seen(world, messages)) for kind, (_, messages) in made.items()}
    before, slants = world.get_weather(), []
    for wind in (0.0, 100.0):
        weather = carla.WeatherParameters.HardRainNoon
        weather.fog_density, weather.wind_intensity = 100.0, wind
        world.set_weather(weather)
        frame = world.tick()
        found = {kind: until(messages, frame) for kind, (_, messages) in made.items()}
        for kind in kinds[1:]:
            np.testing.assert_array_equal(found[kind], first[kind])
        sky = found["rgb"][:160].sum(-1).astype(float)
        down, right = np.gradient(sky)
        slants.append(abs((down * right).mean()) / (right * right).mean())
    world.set_weather(before)
    for sensor, _ in made.values():
        sensor.stop()
    assert 5.0 * slants[0] < slants[1], slants


def test_lamps_and_headlights_shine_by_night_as_clients_switch_them(world, car):
    kinds, states = ("rgb", "depth", "semantic_segmentation"), carla.VehicleLightState
    ahead = carla.Transform(carla.Location(x=1.5, z=2.4), carla.Rotation(pitch=-10.0))
    made = {kind: listen(world, f"sensor.camera.{kind}", ahead, car, **SIZE) for kind in kinds}
    plain = {kind: pixels(seen(world, messages)) for kind, (_, messages) in made.items()}
    lamps, before = world.get_lightmanager(), world.get_weather()
    world.set_weather(carla.WeatherParameters.ClearNight)
    world.tick()
    lights = lamps.get_all_lights()

    def shown(state, are_lamps_on):
        car.set_light_state(carla.VehicleLightState(state))
        (lamps.turn_on if are_lamps_on else lamps.turn_off)(lights)
        world.tick()
        frame = world.tick()
        found = {kind: until(messages, frame) for kind, (_, messages) in made.items()}
        for kind in kinds[1:]:
            np.testing.assert_array_equal(found[kind], plain[kind])
        return found["rgb"].sum(-1)

    dark, lit = shown(states.NONE, False), shown(states.NONE, True)
    low, high = shown(states.LowBeam, False), shown(states.HighBeam, False)
    world.set_weather(before)
    for sensor, _ in made.values():
        sensor.stop()
    for brighter, darker in ((lit, dark), (low, dark), (high, low)):
        assert ((brighter - darker) > 15).mean() > 0.02
        assert (brighter - darker).min() > -6


def test_debug_shapes_are_seen_by_colour_cameras_alone(world, car):
    colour, colours = listen(world, "sensor.camera.rgb", PLACE, car, **SIZE)
    tags, tagged = listen(world, "sensor.camera.semantic_segmentation", PLACE, car, **SIZE)
    there = car.get_transform().location + carla.Location(z=2.0)
    before = [pixels(seen(world, messages)) for messages in (colours, tagged)]
    world.debug.draw_point(there, 0.1, carla.Color(255, 0, 255), 0.01)
    box = carla.BoundingBox(there, carla.Vector3D(0.5, 0.5, 0.5))
    world.debug.draw_box(box, carla.Rotation(), 0.1, carla.Color(0, 0, 255), 0.01)
    above = there + carla.Location(z=1.0)
    world.debug.draw_arrow(there, above, 0.1, 0.2, carla.Color(0, 255, 0), 0.01)
    world.debug.draw_string(there, "here")
    frame = world.tick()
    shown, label = (until(messages, frame) for messages in (colours, tagged))
    for wanted in ((255, 0, 255), (0, 0, 255), (0, 255, 0)):
        assert (shown == wanted).all(-1).any()
        assert not (before[0] == wanted).all(-1).any()
    np.testing.assert_array_equal(label, before[1])
    frame = world.tick()
    assert (until(colours, frame) == before[0]).mean() > 0.99
    for sensor in (colour, tags):
        sensor.stop()


def image_of(messages, frame):
    """Returns the image of a frame."""
    image = messages.get(timeout=30.0)
    while image.frame < frame:
        image = messages.get(timeout=30.0)
    assert image.frame == frame
    return image


def until(messages, frame):
    """Returns the pixels of a frame."""
    return pixels(image_of(messages, frame))


def test_a_weather_that_cannot_be_changes_nothing(world, server):
    before = world.get_weather()
    for broken in ([1.0, 2.0], [float("nan")] * 14):
        answer = call(server, "set_weather_parameters", broken)
        assert answer[3][0][0] is True
    assert world.get_weather() == before


def test_sensor_tick_lets_some_frames_out(world, car):
    every = listen(world, "sensor.camera.depth", PLACE, car, **SIZE)
    fourth = listen(world, "sensor.camera.depth", PLACE, car, sensor_tick="0.2", **SIZE)
    seen(world, fourth[1])
    seen(world, every[1])
    while not fourth[1].empty():
        fourth[1].get()
    frames = [world.tick() for _ in range(12)]
    while every[1].get(timeout=10.0).frame < frames[-1]:
        pass
    got = [fourth[1].get(timeout=10.0).frame for _ in range(3)]
    assert got == [frame for frame in frames if frame % 4 == 0]
    every[0].stop()
    fourth[0].stop()


def test_a_camera_that_cannot_be_is_refused(world, car):
    with pytest.raises(RuntimeError, match="image_size_x must lie within"):
        listen(world, "sensor.camera.rgb", PLACE, car, image_size_x="0")


def test_the_cosmos_camera_draws_the_edges_of_bounding_boxes(world, car):
    ahead = car.get_transform()
    ahead.location += 20.0 * ahead.get_forward_vector() + carla.Location(z=0.3)
    other = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), ahead)
    place = carla.Transform(carla.Location(x=3.0, z=1.5))
    sensor, messages = listen(world, "sensor.camera.cosmos_visualization", place, car, **SIZE)
    image = seen(world, messages)
    sensor.stop()
    drawn = np.argwhere((pixels(image) == (255, 0, 0)).all(2))
    to_camera = np.array(image.transform.get_inverse_matrix())
    corners = other.bounding_box.get_world_vertices(other.get_transform())
    points = np.array([to_camera @ (p.x, p.y, p.z, 1.0) for p in corners])
    focal = 48.0 / np.tan(np.radians(40.0))
    columns = 48.0 + focal * points[:, 1] / points[:, 0]
    rows = 32.0 - focal * points[:, 2] / points[:, 0]
    of_car = drawn[np.abs(drawn[:, 1] - columns.mean()) < 10.0]
    of_car = of_car[of_car[:, 0] <= rows.max() + 1.0]  # Without the stop lines in front.
    assert of_car[:, 1].min() == pytest.approx(columns.min(), abs=1.0)
    assert of_car[:, 1].max() == pytest.approx(columns.max(), abs=1.0)
    assert of_car[:, 0].min() == pytest.approx(rows.min(), abs=1.0)
    inside = (np.abs(of_car[:, 0] - rows.mean()) < 0.5) & (
        np.abs(of_car[:, 1] - columns.mean()) < 1.5
    )
    assert not inside.any()  # Lines, not faces.
