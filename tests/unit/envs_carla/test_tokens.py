import math
from types import SimpleNamespace

import numpy as np
import pytest

from dreamdrive.driving.objects import CLASS_NUMBER, MAX_OBJECTS, OBJECT_INDEX
from dreamdrive.envs.carla.scene import VEHICLE, WALKER, EgoPose, Scene
from dreamdrive.envs.carla.tokens import Tokenizer, token_spaces
from dreamdrive.envs.carla.town_map import GREEN, RED
from dreamdrive.envs.carla.tracker import RouteTracker
from support.routes import straight_route

LIGHT_M, SIGN_M = 30.0, 50.0


def town(says="red"):
    """Returns a town with a light and a stop sign across the route, and a light beside it."""
    light = np.array([[LIGHT_M, 0.0, 0.0, 0.75, 1.75], [LIGHT_M, 9.0, math.pi, 0.75, 1.75]])
    return SimpleNamespace(
        light_lines=SimpleNamespace(boxes=light),
        sign_lines=np.array([[SIGN_M, 0.0, 0.0, 0.75, 1.75]]),
        red_only=lambda: np.array([says == "red", True]),
        light_states=lambda: np.array([GREEN if says == "green" else RED, RED], np.int8),
    )


def seen(actors=(), ego=(10.0, 0.0, 0.0), says="red", binds=True, things=()):
    """Returns the tokens for actors (id, kind, x, y, yaw, vx, vy) on a straight route."""
    table = np.array(actors, float).reshape(-1, 7)
    x, y, yaw = ego
    scene = Scene(
        frame=1, time_s=0.05,
        ego=EgoPose(x=x, y=y, yaw_rad=yaw, speed_mps=5.0, yaw_rate_radps=0.0,
                    half_length_m=2.5, half_width_m=1.0),
        ids=table[:, 0].astype(int), kinds=table[:, 1].astype(np.int8),
        boxes=np.column_stack([table[:, 2:5], np.tile([2.0, 0.9], (len(table), 1))]),
        velocity=table[:, 5:7], yaw_rate=np.zeros(len(table)),
    )  # fmt: skip
    route = straight_route(length=80)
    tracker = RouteTracker(route)
    for at in np.arange(0.0, x + 0.1, 5.0):
        position = tracker.update(EgoPose(
            x=float(at), y=0.0, yaw_rad=0.0, speed_mps=5.0, yaw_rate_radps=0.0,
            half_length_m=2.5, half_width_m=1.0,
        ))  # fmt: skip
    drive = SimpleNamespace(position=position, binding_signs=np.array([binds]))
    found = Tokenizer(town(says), route).tokens(scene, drive, things)
    for name, space in token_spaces().items():
        assert space.contains(found[name]), name
    count = int(found["object_mask"].sum())
    assert found["object_mask"].tolist() == [1] * count + [0] * (MAX_OBJECTS - count)
    assert not found["objects"][count:].any()
    return found["objects"][:count], found["route"]


def of(objects, name):
    return objects[objects[:, 0] == CLASS_NUMBER[name]]


def test_a_vehicle_in_the_frame_of_an_ego_that_looks_left():
    objects, _ = seen([(7, VEHICLE, 10.0, 12.0, 0.0, 3.0, 4.0)], ego=(10.0, 2.0, math.pi / 2))
    expected = [1.0, 10.0, 0.0, -math.pi / 2, 4.0, -3.0, 2.0, 0.9, 0.0]
    np.testing.assert_allclose(of(objects, "vehicle"), [expected], atol=1e-6)


def test_classes_and_what_lights_and_signs_say():
    objects, _ = seen(
        [(1, WALKER, 15.0, 3.0, 0.0, 0.0, 1.0), (2, VEHICLE, 20.0, 0.0, 0.0, 0.0, 0.0)], things={2}
    )
    assert len(of(objects, "walker")) == len(of(objects, "obstacle")) == 1
    light, sign = of(objects, "traffic_light"), of(objects, "stop_sign")
    np.testing.assert_allclose(light[:, :4], [[3.0, 20.0, 0.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(sign[:, :4], [[4.0, 40.0, 0.0, 0.0]], atol=1e-6)
    for says, signal in (("red", 2.0), ("yellow", 1.0), ("green", 0.0)):
        found = of(seen(says=says)[0], "traffic_light")
        assert found[:, OBJECT_INDEX["signal"]].tolist() == [signal]
    for binds, signal in ((True, 2.0), (False, 0.0)):
        found = of(seen(binds=binds)[0], "stop_sign")
        assert found[:, OBJECT_INDEX["signal"]].tolist() == [signal]


def test_a_line_that_is_passed_is_gone():
    objects, _ = seen(ego=(35.0, 0.0, 0.0))
    assert len(of(objects, "traffic_light")) == 0
    assert len(of(objects, "stop_sign")) == 1


def test_the_nearest_come_first_whatever_their_ids_and_the_furthest_do_not_fit():
    places = [(40 - i, VEHICLE, 10.0 + i, 0.0, 0.0, 0.0, 0.0) for i in range(1, 40)]
    objects, _ = seen(places)
    assert len(objects) == MAX_OBJECTS
    assert of(objects, "vehicle")[:, 1].tolist() == [float(i) for i in range(1, 32)]
    shuffled = [places[i] for i in np.random.default_rng(0).permutation(len(places))]
    np.testing.assert_array_equal(seen(shuffled)[0], objects)
    beside = [(i, VEHICLE, 10.0, side, 0.0, 0.0, 0.0) for i, side in ((1, 4.0), (2, -4.0))]
    np.testing.assert_array_equal(seen(beside)[0], seen(beside[::-1])[0])


@pytest.mark.parametrize(
    ("x", "y", "is_seen"),
    [(109.0, 0.0, True), (111.0, 0.0, False), (-39.0, 0.0, True), (-41.0, 0.0, False),
     (10.0, 49.0, True), (10.0, -51.0, False), (90.0, 40.0, False)],
)  # fmt: skip
def test_the_range_is_an_ellipse(x, y, is_seen):
    objects, _ = seen([(1, VEHICLE, x, y, 0.0, 0.0, 0.0)])
    assert len(of(objects, "vehicle")) == is_seen


def test_the_route_goes_on_straight_past_its_end():
    _, route = seen(ego=(60.0, 1.0, 0.1))
    expected = np.array([[2.0 * i, -1.0] for i in range(1, 21)])
    cos, sin = math.cos(0.1), math.sin(0.1)
    turned = expected @ np.array([[cos, -sin], [sin, cos]])
    np.testing.assert_allclose(route[:, :2], turned, atol=1e-5)
    np.testing.assert_allclose(route[:, 2], -0.1, atol=1e-6)
