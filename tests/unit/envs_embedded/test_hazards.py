"""Kerbs, posts, and what a vehicle is told that it touched."""

import math

import numpy as np
import pytest

from dreamdrive.envs.embedded.kerbs import KERB_M, UNSPRUNG, WHEEL_M, kerbs_of
from dreamdrive.envs.embedded.render.mesh import Tag
from dreamdrive.envs.embedded.render.still import FIRST_SIGNAL, still_of
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.touching import FIRST_SOLID, SIDEWALK
from dreamdrive.envs.embedded.towns import build_town, load_town
from dreamdrive.envs.embedded.world import World

CAR, DT_S = "vehicle.lincoln.mkz_2020", 0.05
KEPT = (1.0 - KERB_M / WHEEL_M) ** 2
STREET = """<?xml version="1.0"?>
<OpenDRIVE><header revMajor="1" revMinor="4"/>
<road name="" length="400" id="1" junction="-1"><type s="0" type="town">
<speed max="50" unit="km/h"/></type>
<planView><geometry s="0" x="0" y="0" hdg="0" length="400"><line/></geometry></planView>
<lanes><laneSection s="0">
<left><lane id="2" type="sidewalk"><width sOffset="0" a="3" b="0" c="0" d="0"/></lane>
<lane id="1" type="driving"><width sOffset="0" a="4" b="0" c="0" d="0"/></lane></left>
<center><lane id="0" type="none"/></center>
<right><lane id="-1" type="driving"><width sOffset="0" a="4" b="0" c="0" d="0"/></lane>
<lane id="-2" type="sidewalk"><width sOffset="0" a="3" b="0" c="0" d="0"/></lane></right>
</laneSection></lanes><objects>
<object id="1" type="building" s="50" t="14" hdg="0" length="6" width="6"/>
<object id="2" type="pole" s="100" t="14" hdg="0" length="0.4" width="0.4"/>
<object id="3" type="tree" s="150" t="14" hdg="0" radius="0.5"/>
<object id="4" type="barrier" s="200" t="14" hdg="0" length="4" width="0.5"/>
<object id="5" type="obstacle" name="parked_car" s="250" t="14" hdg="0" length="4" width="2"/>
<object id="6" type="obstacle" s="300" t="14" hdg="0" length="1" width="1"/>
</objects></road></OpenDRIVE>"""
KINDS = ("building", "pole", "vegetation", "wall", "car", "static")


@pytest.fixture(scope="module")
def street():
    return build_town("Street", STREET)


def crossing(street, angle, speed, offset=2.0, *, has_hazards=True):
    """Returns the world and its events as a car drives over the right kerb at an angle to it."""
    world = World(street, has_hazards=has_hazards)
    car = world.spawn(CAR, {}, 200.0, offset, 0.3, math.degrees(angle)).id
    cars = world.vehicles
    cars.velocity[0] = speed * math.cos(angle), speed * math.sin(angle)
    cars.drag[0] = 0.0
    events = []
    for _ in range(20):
        world.tick(DT_S)
        events += world.events
    return world, car, events


@pytest.mark.parametrize(("angle", "speed"), [(math.pi / 2, 6.0), (0.6, 8.0)])
def test_each_wheel_loses_the_share_of_its_unsprung_mass(street, angle, speed):
    world, car, events = crossing(street, angle, speed, offset=1.5)
    plain, _, nothing = crossing(street, angle, speed, offset=1.5, has_hazards=False)
    assert nothing == []
    assert {(event.actor, event.other) for event in events} == {(car, SIDEWALK)}
    assert len(events) == 4
    mass = float(world.vehicles.mass[0])
    first = 0.25 * UNSPRUNG * mass * (1.0 - KEPT) * speed * math.sin(angle)
    # The engine brake has slowed the car a little before it came there.
    assert events[0].impulse[0] == pytest.approx(0.0, abs=1e-6)
    assert -first <= events[0].impulse[1] <= -0.9 * first
    lost = float(np.hypot(*plain.vehicles.velocity[0]) - np.hypot(*world.vehicles.velocity[0]))
    total = sum(event.impulse[1] for event in events) / mass
    if angle == math.pi / 2:
        assert lost == pytest.approx(-total, rel=1e-3)
    assert lost > 0.0


def test_the_wheel_that_climbs_first_turns_the_car(street):
    """J at the front right wheel: the spin is (r x J) / I of a box."""
    world = World(street, has_hazards=True)
    car = world.spawn(CAR, {}, 200.0, 2.6, 0.3, 20.0).id
    yaw = math.radians(20.0)
    world.vehicles.velocity[0] = 8.0 * math.cos(yaw), 8.0 * math.sin(yaw)
    while not world.events:
        world.tick(0.01)
    assert world.events[0].actor == car
    assert len(world.events) == 1
    cars = world.vehicles
    along, across = cars.wheelbase[0] / 2.0, cars.half[0, 1] - 0.1
    turned = cars.pose[0, 2]
    arm = along * math.cos(turned) - across * math.sin(turned)
    inertia = cars.mass[0] * (cars.half[0] ** 2).sum() / 3.0
    assert cars.spin[0] == pytest.approx(arm * world.events[0].impulse[1] / inertia, rel=1e-3)


def test_going_along_a_kerb_down_from_it_or_slowly_jolts_nobody(street):
    for angle, speed, offset in (
        (0.0, 10.0, 2.9), (math.pi / 2, 0.25, 2.4), (-math.pi / 2, 6.0, 5.53), (0.0, 8.0, 5.5),
    ):  # fmt: skip
        assert crossing(street, angle, speed, offset)[2] == [], (angle, speed, offset)


@pytest.mark.parametrize("width", [3.55, 3.7, 3.85, 4.0])
def test_a_kerb_is_where_the_lane_ends_and_not_where_a_cell_does(width):
    world = World(build_town("Street", STREET.replace('a="4"', f'a="{width}"')), has_hazards=True)
    world.spawn(CAR, {}, 200.0, width - 2.0, 0.3, math.degrees(0.06))
    cars = world.vehicles
    cars.velocity[0] = 10.0 * math.cos(0.06), 10.0 * math.sin(0.06)
    cars.throttle[0] = 0.2

    def outermost():
        half_length, half_width = cars.wheelbase[0] / 2.0, cars.half[0, 1] - 0.1
        _, y, yaw = cars.pose[0]
        return y + half_length * math.sin(yaw) + half_width * math.cos(yaw)

    assert width - outermost() > 0.4
    while not world.events:
        before = outermost()
        world.tick(0.01)
        assert before < width
    assert outermost() == pytest.approx(width, abs=0.03)


def test_who_is_above_the_sidewalk_does_not_touch_it(street):
    world = World(street, has_hazards=True)
    world.spawn(CAR, {}, 200.0, 2.0, 6.0, 90.0)
    world.vehicles.velocity[0] = 0.0, 6.0
    for _ in range(20):
        world.tick(DT_S)
        assert world.events == []


@pytest.mark.parametrize("name", ["Dream01", "DreamHills"])
def test_the_grid_knows_the_sidewalks_and_no_lane(name):
    town = load_town(name)
    kerbs = kerbs_of(town)
    inside = (kerbs.sample >= 0).mean()
    assert 0.001 < inside < 0.3
    for x, y, _, _ in town.spawn_points:
        row, column = ((x - kerbs.origin[0]) / 0.5, (y - kerbs.origin[1]) / 0.5)
        assert kerbs.sample[int(row), int(column)] == -1


def test_a_kerb_has_no_holes(street):
    kerbs = kerbs_of(street)
    for y in (4.3, 5.5, 6.7, -4.3, -5.5, -6.7):
        for x in np.arange(1.0, 399.0, 0.1):
            row, column = ((x - kerbs.origin[0]) / 0.5, (y - kerbs.origin[1]) / 0.5)
            assert kerbs.sample[int(row), int(column)] >= 0, (x, y)


@pytest.mark.parametrize("index", range(len(KINDS)))
def test_what_was_touched_is_called_as_carla_calls_it(street, index):
    sim = Simulator(street, synchronous=True)
    world = sim.world
    x, y, half, _, _ = street.static_boxes[index]
    car = world.spawn(CAR, {}, 20.0, -2.0, 0.3, 0.0).id
    world.move(car, x - half - 2.3, y, 0.0, 0.0)
    world.vehicles.velocity[0] = 4.0, 0.0
    world.tick(DT_S)
    (event,) = world.events
    assert event.other == FIRST_SOLID - index
    told = sim.describe(event.other)
    assert (told[0], told[2][1]) == (0, f"static.{KINDS[index]}")
    assert list(told[4]) == [street.static_tags[index]]
    assert sim.describe(SIDEWALK)[2][1] == "static.sidewalk"
    assert sim.describe(-99)[2][1] == "static.unknown"


def test_a_prop_is_touched_by_its_own_number(street):
    world = World(street)
    prop = world.spawn("static.prop.streetbarrier", {}, 203.5, 2.0, 0.0, 90.0).id
    car = world.spawn(CAR, {}, 200.0, 2.0, 0.3, 0.0).id
    world.vehicles.velocity[0] = 8.0, 0.0
    hit = set()
    for _ in range(10):
        world.tick(DT_S)
        hit |= {(event.actor, event.other) for event in world.events}
    assert hit == {(car, prop)}


@pytest.mark.parametrize("has_hazards", [True, False])
def test_the_post_of_a_light_stops_a_car_and_is_the_light(has_hazards):
    town = load_town("Dream02")
    world = World(town, has_hazards=has_hazards)
    light, actor = town.lights[0], world.light_ids[0]
    car = world.spawn(CAR, {}, *town.spawn_points[0]).id
    world.move(car, light.x - 3.0, light.y, 0.0, 0.0)
    world.vehicles.velocity[0] = 8.0, 0.0
    hit = set()
    for _ in range(10):
        world.tick(DT_S)
        hit |= {(event.actor, event.other) for event in world.events}
    assert ((car, actor) in hit) == has_hazards
    assert (world.place(car)[0] < light.x) == has_hazards


@pytest.mark.parametrize("name", ["Dream03", "DreamHills"])
def test_posts_stand_where_cameras_show_them(name):
    town = load_town(name)
    hazards = World(town, has_hazards=True).hazards
    assert hazards is not None
    mesh = still_of(town).mesh
    is_post = (mesh.instance <= FIRST_SIGNAL) & (mesh.tag == Tag.POLE)
    feet = mesh.points[is_post].reshape(-1, 3)
    seen = feet[:, :2]
    for (x, y, *_), (low, high) in zip(*hazards.posts[:2], strict=True):
        near = feet[np.hypot(seen[:, 0] - x, seen[:, 1] - y) < 0.15]
        assert near[:, 2].min() == pytest.approx(low, abs=0.05)
        assert near[:, 2].max() <= high
    apart = np.hypot(*(seen[:, None] - hazards.posts.boxes[None, :, :2]).transpose(2, 0, 1)).min(1)
    assert apart.max() < 0.15
