import subprocess
import sys

import numpy as np
import pytest

from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.render.appearance import read_appearance
from dreamdrive.envs.embedded.render.furniture import LAMP_COLOURS
from dreamdrive.envs.embedded.render.mesh import Finish, Tag
from dreamdrive.envs.embedded.render.models import model_of
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.scene import Scene
from dreamdrive.envs.embedded.render.still import still_of
from dreamdrive.envs.embedded.render.streets import KERB_M, MARK_M
from dreamdrive.envs.embedded.render.terrain import LAND_M
from dreamdrive.envs.embedded.render.view import Lens, Pose
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import available_towns, build_town, load_town
from dreamdrive.envs.embedded.world import World
from dreamdrive.errors import MapError
from support.marked_road import ROAD

CAR = "vehicle.lincoln.mkz_2020"
TOWN = load_town("Dream01")
ALL_TOWNS = available_towns()
LENS = Lens(128, 96, 90.0)


def behind(world, actor, back=9.0):
    """Returns a pose behind and above an actor, which looks at it."""
    x, y, _, yaw = world.place(actor)
    heading = np.radians(yaw)
    return Pose(x - back * np.cos(heading), y - back * np.sin(heading), 2.0, -5.0, yaw, 0.0)


def seen(image, name):
    value = getattr(image.triangles, name)[image.triangle]
    return np.where(image.triangle >= 0, value, -99)


def ground_tag(scene, x, y):
    image = Image(scene.triangles, Pose(x, y, 30.0, -90.0, 0.0, 0.0), Lens(1, 1, 1.0))
    return int(seen(image, "tag")[0, 0]), 30.0 - float(image.depth()[0, 0])


@pytest.mark.parametrize("name", ALL_TOWNS)
def test_lanes_are_road_from_above_and_spawn_points_stand_on_them(name):
    town = load_town(name)
    scene = Scene(World(town))
    is_flat = np.ptp(np.array(town.spawn_points)[:, 2]) == 0.0
    for x, y, z, _ in town.spawn_points[::7]:
        tag, height = ground_tag(scene, x, y)
        # Between two stations the road is straight, on hills too.
        assert (tag, height) == (Tag.ROAD, pytest.approx(z - 0.3, abs=1e-4 if is_flat else 0.01))
    boxes = town.static_boxes
    houses = boxes[np.minimum(boxes[:, 2], boxes[:, 3]) >= 4.0]
    for x, y, half_length, half_width, yaw in houses[::9]:
        tag, height = ground_tag(scene, x, y)
        floor = height - 8.05
        assert (tag, floor) == (Tag.BUILDING, pytest.approx(0.0, abs=1e-3 if is_flat else 40.0))
        out = np.array([np.cos(yaw), np.sin(yaw)]) * (half_length + 0.1)
        assert ground_tag(scene, x + out[0], y + out[1])[0] != Tag.BUILDING
        aside = np.array([-np.sin(yaw), np.cos(yaw)]) * (half_width - 0.1)
        assert ground_tag(scene, x + aside[0], y + aside[1])[0] == Tag.BUILDING


def test_beside_the_road_are_a_line_a_raised_sidewalk_and_land():
    carla = pytest.importorskip("carla")
    scene = Scene(World(TOWN))
    point = carla.Map(TOWN.name, TOWN.xodr).get_waypoint(
        carla.Location(*TOWN.spawn_points[0][:3]), lane_type=carla.LaneType.Driving
    )
    while point.get_right_lane() and point.get_right_lane().lane_type == carla.LaneType.Driving:
        point = point.get_right_lane()
    at, right = point.transform.location, point.transform.get_right_vector()
    for aside, tag, height in (
        (0.0, Tag.ROAD, 0.0), (1.75, Tag.ROAD_LINE, MARK_M), (2.6, Tag.SIDEWALK, KERB_M),
        (4.0, Tag.TERRAIN, LAND_M),
    ):  # fmt: skip
        found = ground_tag(scene, at.x + aside * right.x, at.y + aside * right.y)
        assert found == (tag, pytest.approx(height, abs=1e-4))


def test_before_a_light_are_a_stop_line_and_a_crossing():
    scene = Scene(World(TOWN))
    line = TOWN.lights[0].lines[0]
    heading = np.radians(line.yaw_deg)
    ahead, right = (np.cos(heading), np.sin(heading)), (-np.sin(heading), np.cos(heading))
    assert ground_tag(scene, line.x, line.y)[0] == Tag.ROAD_LINE
    bars = [
        ground_tag(scene, line.x + 2.0 * ahead[0] + d * right[0],
                   line.y + 2.0 * ahead[1] + d * right[1])[0]
        for d in np.linspace(-1.4, 1.4, 29)
    ]  # fmt: skip
    assert set(bars) == {Tag.ROAD, Tag.ROAD_LINE}
    assert 3 <= np.count_nonzero(np.diff(bars)) <= 6


def test_a_vehicle_is_seen_where_it_is_with_its_tag_number_and_paint():
    world = World(TOWN)
    car = world.spawn(CAR, {"color": "200,10,20"}, *TOWN.spawn_points[2]).id
    scene = Scene(world)
    image = Image(scene.triangles, behind(world, car), LENS)
    is_car = seen(image, "instance") == car
    assert 200 < is_car.sum() < 3000
    assert set(seen(image, "tag")[is_car]) == {Tag.CAR}
    columns = np.nonzero(is_car)[1]
    assert columns.mean() == pytest.approx(63.5, abs=0.6)
    back = 9.0 - world.actors[car].extent[0]
    assert np.median(image.depth()[is_car]) == pytest.approx(back, abs=0.6)
    painted = scene.triangles.colour[image.triangle[is_car]]
    assert (np.abs(painted - np.array([200, 10, 20]) / 255.0) < 1e-6).all(1).any()
    world.vehicles.throttle[0] = 1.0
    for _ in range(40):
        world.tick(0.05)
    moved = Image(scene.triangles, behind(world, car), LENS)
    assert not np.array_equal(seen(moved, "instance") == car, is_car)
    scene.update()
    moved = Image(scene.triangles, behind(world, car), LENS)
    assert (seen(moved, "instance") == car).sum() == pytest.approx(is_car.sum(), rel=0.1)


def test_who_comes_and_goes_appears_and_disappears():
    world = World(TOWN)
    scene = Scene(world)
    still = len(scene.triangles.points)
    x, y, z, yaw = TOWN.spawn_points[2]
    ids = [
        world.spawn(CAR, {}, x, y, z, yaw).id,
        world.spawn("walker.pedestrian.0003", {}, x + 5, y, 1.0, 0.0).id,
        world.spawn("static.prop.trafficcone01", {}, x, y + 6, 0.0, 0.0).id,
    ]
    scene.update()
    added = scene.triangles.instance[still:]
    assert set(added) == set(ids)
    tags = [set(scene.triangles.tag[still:][added == actor]) for actor in ids]
    assert tags == [{Tag.CAR}, {Tag.PEDESTRIAN}, {Tag.DYNAMIC}]
    world.destroy(ids[0])
    scene.update()
    assert set(scene.triangles.instance[still:]) == set(ids[1:])
    assert scene.triangles.groups["end"][-1] == len(scene.triangles.points)


def test_a_town_is_built_once_and_its_signals_are_the_actors_of_each_world():
    first, second = World(TOWN), World(TOWN, first_id=500)
    scenes = [Scene(first), Scene(second)]
    assert still_of(TOWN) is still_of(TOWN)
    for world, scene in zip((first, second), scenes, strict=True):
        is_head = np.isin(scene.triangles.tag, (Tag.TRAFFIC_LIGHT, Tag.TRAFFIC_SIGN))
        signals = {*world.light_ids, *world.sign_ids}
        assert set(scene.triangles.instance[is_head].tolist()) == signals
        assert min(signals) > 0
    first.lights.set_colour(0, 1)
    before = scenes[1].triangles.colour.copy()
    scenes[0].update()
    np.testing.assert_array_equal(scenes[1].triangles.colour, before)


def test_lamps_show_the_state_of_their_light_and_no_other():
    world = World(TOWN)
    scene = Scene(world)
    t = scene.triangles
    for state in (0, 1, 2):
        world.lights.set_colour(0, state)
        scene.update()
        mine = (t.instance == world.light_ids[0]) & (t.finish == Finish.GLOWING)
        shown = {tuple(np.round(row, 3)) for row in t.colour[mine].tolist()}
        for other, colour in LAMP_COLOURS.items():
            assert (colour in shown) == (other == state)


@pytest.mark.parametrize("name", ALL_TOWNS)
def test_who_waits_at_a_light_sees_its_lamp(name):
    town = load_town(name)
    world = World(town)
    scene = Scene(world)
    lens = Lens(512, 288, 100.0)
    roads = parse_opendrive(town.xodr).roads
    for light, actor in zip(town.lights, world.light_ids, strict=True):
        for line in light.lines:
            z = roads[line.road_id].height(line.s) + 1.5
            image = Image(scene.triangles, Pose(line.x, line.y, z, 0, line.yaw_deg, 0), lens)
            is_lamp = (seen(image, "instance") == actor) & (seen(image, "finish") == Finish.GLOWING)
            assert is_lamp.any(), (light.id, line)


def test_rear_lamps_glow_when_a_vehicle_brakes_or_drives_in_the_dark():
    world = World(TOWN)
    world.spawn(CAR, {}, *TOWN.spawn_points[2])
    scene = Scene(world)
    glowing = [(scene.triangles.finish == Finish.GLOWING).sum()]
    world.vehicles.brake[0] = 1.0
    scene.update()
    glowing.append((scene.triangles.finish == Finish.GLOWING).sum())
    scene.update(is_dark=True)
    glowing.append((scene.triangles.finish == Finish.GLOWING).sum())
    assert glowing[0] < glowing[1] < glowing[2]


@pytest.mark.parametrize(
    "kind", [CAR, "vehicle.mitsubishi.fusorosa", "vehicle.mercedes.sprinter", "vehicle.audi.a2"]
)
def test_a_model_fills_the_box_of_its_actor(kind):
    world = World(TOWN)
    extent = world.spawn(kind, {}, *TOWN.spawn_points[2]).extent
    points = model_of(kind).points.reshape(-1, 3)
    np.testing.assert_allclose(points.max(0), (extent[0], extent[1], 2 * extent[2]), atol=0.03)
    np.testing.assert_allclose(points.min(0), (-extent[0], -extent[1], 0.0), atol=0.03)


def test_a_map_of_others_with_heights_double_lines_and_poles():
    xodr = """<OpenDRIVE><road id="1" length="60" junction="-1"><planView>
    <geometry s="0" x="0" y="0" hdg="0" length="60"><line/></geometry></planView>
    <elevationProfile><elevation s="0" a="10" b="0" c="0" d="0"/></elevationProfile>
    <lanes><laneSection s="0"><center><lane id="0" type="none">
    <roadMark sOffset="0" type="solid solid" color="yellow" width="0.1"/></lane></center>
    <right><lane id="-1" type="driving"><width sOffset="0" a="4" b="0" c="0" d="0"/></lane>
    </right></laneSection></lanes><objects><object type="pole" s="30" t="-8" radius="0.2"
    height="5"/><object type="crosswalk" s="50" t="-2" hdg="1.5707963"><outline>
    <cornerLocal u="-2" v="1"/><cornerLocal u="2" v="1"/><cornerLocal u="2" v="-1"/>
    <cornerLocal u="-2" v="-1"/><cornerLocal u="-2" v="1"/></outline></object></objects></road>
    </OpenDRIVE>"""
    scene = Scene(World(build_town("there", xodr)))
    assert ground_tag(scene, 20.0, 2.0) == (Tag.ROAD, pytest.approx(10.0, abs=1e-4))
    assert ground_tag(scene, 20.0, 0.1)[0] == Tag.ROAD_LINE
    assert ground_tag(scene, 20.0, 30.0) == (Tag.TERRAIN, pytest.approx(10.0 + LAND_M, abs=1e-4))
    # Four bars of half a metre over the four metres of the lane, two metres long.
    bars = [ground_tag(scene, 50.0, y)[0] for y in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)]
    assert bars == [Tag.ROAD_LINE, Tag.ROAD] * 3 + [Tag.ROAD_LINE]
    along = [ground_tag(scene, x, 1.5)[0] for x in (48.9, 49.1, 50.9, 51.1)]
    assert along == [Tag.ROAD, Tag.ROAD_LINE, Tag.ROAD_LINE, Tag.ROAD]
    assert ground_tag(scene, 30.0, 8.0) == (Tag.POLE, pytest.approx(15.0, abs=1e-4))


def test_the_same_world_sends_the_same_bytes():
    kinds = ("sensor.camera.rgb", "sensor.lidar.ray_cast", "sensor.other.radar")
    sent = []
    for _ in range(2):
        simulator = Simulator(TOWN, synchronous=True)
        world = simulator.world
        car = world.spawn(CAR, {}, *TOWN.spawn_points[2]).id
        world.vehicles.throttle[0], world.vehicles.steer[0] = 0.8, 0.1
        size = {"image_size_x": "64", "image_size_y": "48"}
        sensors = [world.spawn(kind, size, 2.6, 0.0, 1.5, 0.0, car).id for kind in kinds]
        for _ in range(5):
            simulator.tick()
            sent.append([simulator.sensed(sensor) for sensor in sensors])
    assert sent[:5] == sent[5:]
    assert sent[0] != sent[4]


def test_another_map_is_seen_by_its_own_sensors():
    simulator, kind = Simulator(TOWN, synchronous=True), "sensor.camera.depth"
    size = {"image_size_x": "64", "image_size_y": "48"}
    sent = []
    for town in (TOWN, load_town("Dream02"), TOWN):
        simulator.open(World(town))
        camera = simulator.world.spawn(kind, size, 60.0, -60.0, 80.0, 0.0, tilt=(-90.0, 0.0)).id
        simulator.tick()
        (message,) = simulator.sensed(camera)
        sent.append(message[48:])
    assert sent[0] == sent[2] != sent[1]


def test_a_road_mark_with_a_word_for_a_number_is_said():
    with pytest.raises(MapError, match="<roadMark> has width='broad'"):
        read_appearance(
            '<OpenDRIVE><road id="1"><lanes><laneSection><center><lane id="0">'
            '<roadMark width="broad"/></lane></center></laneSection></lanes></road></OpenDRIVE>'
        )


def test_a_world_without_such_sensors_does_not_load_what_they_need():
    code = """
import sys
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.server import Server
from dreamdrive.envs.embedded.towns import load_town
simulator = Simulator(load_town("Dream01"), synchronous=True)
car = simulator.world.spawn("vehicle.audi.tt", {}, *simulator.world.town.spawn_points[0]).id
imu = simulator.world.spawn("sensor.other.imu", {}, 0.0, 0.0, 0.0, 0.0, car).id
simulator.tick()
assert len(simulator.sensed(imu)) == 1
heavy = [n for n in sys.modules if n.startswith("dreamdrive.envs.embedded.render.")]
print(sorted(n.rsplit(".", 1)[1] for n in heavy))
camera = simulator.world.spawn("sensor.camera.depth", {}, 0.0, 0.0, 2.0, 0.0, car).id
print(len(simulator.sensed(camera)), "dreamdrive.envs.embedded.render.scene" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200
    )
    assert done.stdout.splitlines() == ["['attributes', 'view']", "1 True"]


def test_land_lies_close_under_the_streets_of_a_town_on_hills():
    town = load_town("DreamHills")
    scene = Scene(World(town))
    drive = parse_opendrive(town.xodr)
    rises, drops = [], []
    for road in drive.roads.values():
        if road.junction != -1:
            continue
        for s in np.arange(15.0, road.length - 15.0, 7.0):
            lanes = road.section(s).lanes
            pose = road.lane_pose(min(lanes), s).left(-road.lane_width(min(lanes), s) / 2.0 - 0.5)
            tag, height = ground_tag(scene, pose.x, -pose.y)
            middle, z = road.at(s), road.height(s)
            assert ground_tag(scene, middle.x, -middle.y)[1] == pytest.approx(z, abs=0.02)
            if tag == Tag.TERRAIN:
                rises.append(height)
                drops.append(z - height)
    assert np.ptp(rises) > 3.0
    assert len(drops) > 100
    assert min(drops) >= 0.0
    assert np.quantile(drops, 0.95) < 1.2


def test_trees_and_parked_cars_fill_the_boxes_of_their_bodies():
    town = load_town("DreamCurves")
    scene = Scene(World(town))
    t = scene.triangles
    solids = [solid for found in read_appearance(town.xodr).solids.values() for solid in found]
    checked = {"tree": 0, "parked_car": 0}
    for row, (solid, box) in enumerate(zip(solids, town.static_boxes, strict=True)):
        if solid.name not in checked:
            continue
        x, y, half_length, half_width, yaw = box
        points = t.points[t.instance == -2 - row].reshape(-1, 3)
        dx, dy = (points[:, :2] - (x, y)).T
        along, across = dx * np.cos(yaw) + dy * np.sin(yaw), dy * np.cos(yaw) - dx * np.sin(yaw)
        assert np.abs(along).max() == pytest.approx(half_length, abs=0.05)
        assert np.abs(across).max() == pytest.approx(half_width, abs=0.05)
        assert np.ptp(points[:, 2]) == pytest.approx(solid.height, abs=0.01)
        tags = set(t.tag[t.instance == -2 - row].tolist())
        assert tags == {Tag.CAR if solid.name == "parked_car" else Tag.VEGETATION}
        checked[solid.name] += 1
    assert min(checked.values()) > 30


def test_walkers_swing_their_limbs_as_they_go_and_hang_them_when_they_stand():
    world = World(TOWN)
    x, y, _, yaw = TOWN.spawn_points[2]
    world.spawn("walker.pedestrian.0003", {}, x, y, 1.0, yaw)
    scene = Scene(world)
    walkers = world.walkers

    def length():
        """Returns how far the walker reaches along its way."""
        scene.update()
        t = scene.triangles
        points = t.points[t.instance == int(walkers.id[0])].reshape(-1, 3)
        heading = walkers.pose[0, 2]
        return float(np.ptp(points[:, :2] @ (np.cos(heading), np.sin(heading))))

    standing = length()
    walkers.direction[0], walkers.speed[0] = (1.0, 0.0, 0.0), 1.4
    lengths = []
    for _ in range(40):
        world.tick(0.05)
        lengths.append(length())
    assert standing == pytest.approx(0.26, abs=0.02)
    assert max(lengths) > 0.8
    # Twice in each stride the legs pass each other: 2 s at 1.4 m/s are two strides.
    closed = np.array(lengths) < standing + 0.02
    assert (np.diff(closed.astype(int)) == 1).sum() in (3, 4)
    walkers.speed[0] = 0.0
    world.tick(0.05)
    assert length() == pytest.approx(standing, abs=1e-5)


def test_a_speed_limit_is_read_by_the_traffic_that_it_is_for():
    world = World(build_town("road", ROAD))
    (fifty,) = (a for a in world.actors.values() if a.kind == "traffic.speed_limit.50")
    x, y, _, yaw = fifty.place
    scene, lens = Scene(world), Lens(41, 41, 20.0)
    ahead = Image(scene.triangles, Pose(x - 3.0, y, 2.3, 0.0, yaw, 0.0), lens)
    behind = Image(scene.triangles, Pose(x + 3.0, y, 2.3, 0.0, yaw + 180.0, 0.0), lens)
    is_sign = seen(ahead, "tag") == Tag.TRAFFIC_SIGN
    assert set(seen(ahead, "instance")[is_sign].tolist()) == {fifty.id}
    dark = (ahead.triangles.colour[ahead.triangle] < 0.1).all(-1) & is_sign
    rows, columns = np.nonzero(dark)
    assert 8 < np.ptp(rows) < 20
    assert abs(columns.mean() - 20.0) < 1.0
    five, zero = dark[:, :20], dark[:, 21:]
    middle = int(np.median(rows))
    assert five[middle].sum() > 3  # The middle stroke of a 5, which a 0 lacks.
    assert zero[middle].sum() <= 3
    is_steel = behind.triangles.colour[behind.triangle][seen(behind, "tag") == Tag.TRAFFIC_SIGN]
    assert np.ptp(is_steel, 0).max() == 0.0
