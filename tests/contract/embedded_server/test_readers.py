"""What the client makes of the sensors' data: arrays, pictures and files."""

import numpy as np
import pytest

from support.server import listen, seen, ticks

carla = pytest.importorskip("carla")
pytestmark = pytest.mark.usefixtures("compiled_sensors")

SIZE = {"image_size_x": "96", "image_size_y": "64", "fov": "90"}
FRONT = carla.Transform(carla.Location(x=2.0, z=1.5))
ROOF = carla.Transform(carla.Location(z=2.4))


def test_events_become_arrays_and_a_picture(world, car):
    sensor, messages = listen(world, "sensor.camera.dvs", FRONT, car, **SIZE)
    seen(world, messages)
    car.set_target_velocity(10.0 * car.get_transform().get_forward_vector())
    ticks(world, 2)
    events = seen(world, messages)
    sensor.stop()
    assert (events.width, events.height, events.fov) == (96, 64, pytest.approx(90.0))
    assert len(bytes(events.raw_data)) == 13 * len(events)
    columns = [[getattr(event, name) for event in events] for name in ("x", "y", "t", "pol")]
    x, y, t, pol = columns
    assert list(events.to_array_x()) == x
    assert list(events.to_array_y()) == y
    assert list(events.to_array_t()) == t
    assert [value > 0 for value in events.to_array_pol()] == pol
    with pytest.raises(TypeError, match="No to_python"):  # The client cannot read its own rows.
        list(events.to_array())
    picture = events.to_image()
    shown = [(i % 96, i // 96) for i, pixel in enumerate(picture) if (pixel.r, pixel.b) != (0, 0)]
    assert len(picture) == 96 * 64
    assert set(shown) == set(zip(x, y, strict=True))


@pytest.mark.parametrize("kind", ["ray_cast", "ray_cast_semantic"])
def test_scans_are_saved_point_by_point(world, car, tmp_path, kind):
    sensor, messages = listen(
        world, f"sensor.lidar.{kind}", ROOF, car, channels="8", points_per_second="20000",
        rotation_frequency="20",
    )  # fmt: skip
    scan = seen(world, messages)
    sensor.stop()
    scan.save_to_disk(str(tmp_path / "scan.ply"))
    head, _, body = (tmp_path / "scan.ply").read_text().partition("end_header\n")
    assert f"element vertex {len(scan)}" in head
    first = [float(word) for word in body.split("\n")[0].split()]
    point = scan[0].point
    assert first[:3] == pytest.approx([point.x, point.y, point.z], abs=1e-3)


def test_pictures_are_saved(world, car, tmp_path):
    sensor, messages = listen(world, "sensor.camera.rgb", FRONT, car, **SIZE)
    image = seen(world, messages)
    sensor.stop()
    image.save_to_disk(str(tmp_path / "seen.png"))
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_flow_is_read_pixel_by_pixel_and_as_a_picture(world, car):
    sensor, messages = listen(world, "sensor.camera.optical_flow", FRONT, car, **SIZE)
    car.set_target_velocity(10.0 * car.get_transform().get_forward_vector())
    seen(world, messages)
    image = seen(world, messages)
    sensor.stop()
    assert image.fov == pytest.approx(90.0)
    assert len(image) == 96 * 64
    flow = np.frombuffer(image.raw_data, np.float32).reshape(-1, 2)
    fastest = int(np.abs(flow[:, 1]).argmax())
    assert (image[fastest].x, image[fastest].y) == tuple(flow[fastest])
    assert flow[fastest, 1] != 0.0
    picture = image.get_color_coded_flow()
    assert type(picture) is carla.FakeImage
    assert (picture.width, picture.height, picture.fov) == (96, 64, pytest.approx(90.0))
    assert len(bytes(picture.raw_data)) == 4 * 96 * 64
    for grow, value in ((picture.append, 0), (picture.extend, [0])):
        with pytest.raises(TypeError, match="did not match C"):  # Not the list that it is made of.
            grow(value)
