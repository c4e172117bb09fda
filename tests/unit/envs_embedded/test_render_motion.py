"""The optical flow camera and the event camera."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from dreamdrive.envs.embedded.debug_shapes import DebugShapes
from dreamdrive.envs.embedded.render.events import EVENT, Changes, EventCamera
from dreamdrive.envs.embedded.render.flow import FlowCamera
from dreamdrive.envs.embedded.render.look import Look
from dreamdrive.envs.embedded.render.mesh import Finish, MeshBuilder, Tag
from dreamdrive.envs.embedded.render.settings import settings_of
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.envs.embedded.simulator import CLEAR_NOON
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.world import World
from support.shapes import look_at, wall

ORIGIN = Pose(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
SIZE = {"image_size_x": "64", "image_size_y": "48"}


def flow_camera():
    return FlowCamera("sensor.camera.optical_flow", settings_of("sensor.camera.optical_flow", SIZE))


def flow(camera, look, pose):
    ((name, data),) = camera.sense(look, 1, pose, 0.05)
    assert name == "optical_flow"
    assert struct.unpack_from("<IIf", data) == (64, 48, 90.0)
    return np.frombuffer(data, "<f4", offset=12).reshape(48, 64, 2)


def test_a_wall_moves_left_when_the_camera_moves_right_and_up_when_it_sinks():
    builder = MeshBuilder()
    wall(builder, 8.0, Tag.WALL)
    camera, look = flow_camera(), look_at(builder)
    assert (flow(camera, look, ORIGIN) == 0.0).all()
    # At 90 degrees the picture is 16 m wide and 12 m high there.
    moved = flow(camera, look, ORIGIN._replace(y=0.5))
    np.testing.assert_allclose(moved[..., 0], -0.5 / 16.0, atol=1e-6)
    np.testing.assert_allclose(moved[..., 1], 0.0, atol=1e-6)
    sunk = flow(camera, look, ORIGIN._replace(y=0.5, z=-0.3))
    np.testing.assert_allclose(sunk[..., 1], -0.3 / 12.0, atol=1e-6)


def test_going_ahead_makes_everything_flow_out_of_the_middle():
    builder = MeshBuilder()
    wall(builder, 10.0, Tag.WALL)
    camera, look = flow_camera(), look_at(builder)
    flow(camera, look, ORIGIN)
    found = flow(camera, look, ORIGIN._replace(x=2.0))
    u = (np.arange(64) + 0.5 - 32.0) / 64.0
    np.testing.assert_allclose(found[..., 0], np.tile(u * (1.0 - 8.0 / 10.0), (48, 1)), atol=1e-6)


def test_the_sky_moves_when_the_camera_turns_but_not_when_it_goes():
    camera, look = flow_camera(), look_at(MeshBuilder())
    flow(camera, look, ORIGIN)
    np.testing.assert_allclose(flow(camera, look, ORIGIN._replace(y=5.0)), 0.0, atol=1e-9)
    turned = flow(camera, look, ORIGIN._replace(y=5.0, yaw=1.0))
    assert turned[24, 32, 0] == pytest.approx(-np.tan(np.radians(1.0)) / 2.0, rel=0.01)


def test_a_vehicle_flows_by_its_own_motion():
    world = World(load_town("Dream01"))
    x, y, z, yaw = world.town.spawn_points[2]
    heading = np.radians(yaw)
    ahead, right = (np.cos(heading), np.sin(heading)), (-np.sin(heading), np.cos(heading))
    car = world.spawn("vehicle.mini.cooper_s", {}, x, y, z, yaw).id
    pose = Pose(x - 10 * ahead[0], y - 10 * ahead[1], 1.0, 0.0, yaw, 0.0)
    camera, look = flow_camera(), Look(world, lambda actor: actor, CLEAR_NOON, DebugShapes(1))
    flow(camera, look, pose)
    world.move(car, x + 0.4 * right[0], y + 0.4 * right[1], 0.0, yaw)
    look.update(CLEAR_NOON)
    found = flow(camera, look, pose)
    image = look.image(pose, camera._lens)
    is_car = (image.triangle >= 0) & (look.triangles.instance[image.triangle] == car)
    assert is_car.sum() > 20
    np.testing.assert_allclose(found[~is_car], 0.0, atol=1e-6)
    np.testing.assert_allclose(found[is_car][:, 0], 0.4 / (2.0 * image.depth()[is_car]), rtol=1e-3)


def test_a_steady_change_makes_events_at_equal_times():
    zero = np.zeros((2, 3))
    state = Changes(zero, 1_000_000)
    after = zero.copy()
    after[1, 2], after[0, 1] = 1.0, -0.45
    found = state.events(after, 2_000_000, np.full((2, 2, 3), 0.25), 0)
    assert found[found["is_brighter"] == 1].tolist() == [
        (2, 1, 1_000_000 + k * 250_000, 1) for k in (1, 2, 3, 4)
    ]
    assert found[found["is_brighter"] == 0].tolist() == [(1, 0, 1_555_555, 0)]
    assert (np.diff(found["t"]) >= 0).all()
    # What was left over counts on.
    after = after.copy()
    after[0, 1] = -0.55
    assert len(state.events(after, 3_000_000, np.full((2, 2, 3), 0.25), 0)) == 1
    assert len(state.events(after, 4_000_000, np.full((2, 2, 3), 0.25), 0)) == 0


def test_a_pixel_is_silent_for_its_refractory_period():
    state = Changes(np.zeros((1, 1)), 0)
    found = state.events(np.ones((1, 1)), 1000, np.full((2, 1, 1), 0.125), 300)
    assert found["t"].tolist() == [125, 500, 875]


def test_an_event_camera_sees_a_lamp_go_on():
    def room(brightness):
        builder = MeshBuilder()
        colour = (brightness, brightness, brightness)
        corners = [(5, -90, -90), (5, -90, 90), (5, 90, 90), (5, 90, -90)]
        builder.polygon(corners, Tag.WALL, colour, finish=Finish.GLOWING)
        return look_at(builder, CLEAR_NOON, SimpleNamespace(time_s=0.0))

    camera = EventCamera("sensor.camera.dvs", settings_of("sensor.camera.dvs", SIZE))
    counts = []
    for time_s, brightness in ((0.0, 0.2), (0.05, 0.2), (0.1, 0.6), (0.15, 0.2)):
        look = room(brightness)
        look.world.time_s = time_s
        ((name, data),) = camera.sense(look, 1, ORIGIN, 0.05)
        events = np.frombuffer(data, EVENT, offset=12)
        counts.append(len(events) / (64 * 48))
        assert name == "dvs"
        assert ((events["t"] >= (time_s - 0.05) * 1e9) & (events["t"] <= time_s * 1e9)).all()
        assert set(events["is_brighter"]) <= ({1} if brightness > 0.5 else {0})
    # ln(0.6 / 0.2) is 1.1: three thresholds of 0.3.
    assert counts == [0.0, 0.0, 3.0, 3.0]
