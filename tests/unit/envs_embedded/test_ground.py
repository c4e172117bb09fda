import math

import numpy as np
import pytest

from dreamdrive.envs.embedded import bodies, dynamics
from dreamdrive.envs.embedded.ground import GRAVITY_MPS2, STICK_M
from dreamdrive.envs.embedded.render.models import model_of
from dreamdrive.envs.embedded.render.scene import Scene
from dreamdrive.envs.embedded.sensors import sensor_transform
from dreamdrive.envs.embedded.towns import build_town, load_town
from dreamdrive.envs.embedded.world import SpawnError, World

DT_S = 0.05
CAR, WALKER = "vehicle.lincoln.mkz_2020", "walker.pedestrian.0001"


def road(number, x, y, heading, length, *profile):
    """Returns a road with a lane each way and a footpath; `profile` has (s, a, b, c, d) rows."""
    heights = "".join(
        f'<elevation s="{s}" a="{a}" b="{b}" c="{c}" d="{d}"/>' for s, a, b, c, d in profile
    )
    lanes = "".join(
        f'<lane id="{i}" type="{kind}"><width sOffset="0" a="{width}"/></lane>'
        for i, kind, width in ((-1, "driving", 3.5), (-2, "sidewalk", 2.0))
    )
    return (
        f'<road id="{number}" length="{length}" junction="-1"><planView><geometry s="0" x="{x}" '
        f'y="{y}" hdg="{heading}" length="{length}"><line/></geometry></planView>'
        f'<elevationProfile>{heights}</elevationProfile><lanes><laneSection s="0"><left>'
        f'<lane id="1" type="driving"><width sOffset="0" a="3.5"/></lane></left><right>{lanes}'
        "</right></laneSection></lanes></road>"
    )


def world_of(*roads):
    return World(build_town("Hills", f"<OpenDRIVE>{''.join(roads)}</OpenDRIVE>"))


def drive(world, actor, **controls):
    row = world.vehicles.row[actor]
    for name, value in controls.items():
        getattr(world.vehicles, name)[row] = value


def speed(world, actor):
    row = world.vehicles.row[actor]
    return math.hypot(*world.vehicles.velocity[row]) / math.cos(world.vehicles.pitch[row])


SLOPE = 0.08
INCLINE = road(1, 0.0, 0.0, 0.0, 400.0, (0.0, 5.0, SLOPE, 0.0, 0.0))
# Up, over a crest of 300 m radius, and down again.
HILL = road(
    1, 0.0, 0.0, 0.0, 300.0, (0.0, 0.0, 0.1, 0.0, 0.0), (100.0, 10.0, 0.1, -1.0 / 600.0, 0.0),
    (160.0, 10.0, -0.1, 0.0, 0.0),
)  # fmt: skip
BRIDGE = (
    road(1, 0.0, 0.0, 0.0, 200.0, (0.0, 0.0, 0.0, 0.0, 0.0)).replace("sidewalk", "border"),
    road(2, 100.0, -100.0, math.pi / 2, 200.0, (0.0, 6.0, 0.0, 0.0, 0.0)).replace(
        "sidewalk", "border"
    ),
)


def test_towns_that_are_level_have_no_ground():
    assert not load_town("Dream01").ground
    assert not build_town("Flat", f"<OpenDRIVE>{BRIDGE[0]}</OpenDRIVE>").ground
    assert world_of(INCLINE).town.ground


@pytest.mark.parametrize(("lane_y", "yaw_deg", "pitch"), [(1.75, 0.0, 1.0), (-1.75, 180.0, -1.0)])
def test_a_vehicle_stands_on_the_road_and_pitches_with_it(lane_y, yaw_deg, pitch):
    world = world_of(INCLINE)
    car = world.spawn(CAR, {}, 51.3, lane_y, 5.0 + SLOPE * 51.3 + 0.3, yaw_deg).id
    record = world.vehicles.record[0]
    assert record["location"][2] == pytest.approx(5.0 + SLOPE * 51.3, abs=1e-5)
    angle = pitch * math.degrees(math.atan(SLOPE))
    np.testing.assert_allclose(record["rotation"], [angle, yaw_deg, 0.0], atol=1e-4)
    assert world.place(car)[2] == pytest.approx(5.0 + SLOPE * 51.3)


def test_a_vehicle_across_a_slope_rolls_towards_the_valley():
    world = world_of(INCLINE)
    world.spawn(CAR, {}, 50.0, 1.0, 9.3, 90.0)
    # It looks to the right of the way up, so the valley is on its right.
    rotation = world.vehicles.record[0]["rotation"]
    np.testing.assert_allclose(rotation, [0.0, 90.0, math.degrees(math.atan(SLOPE))], atol=1e-4)


def test_wheels_follow_a_crest_within_two_centimetres():
    world = world_of(HILL)
    car = world.spawn(CAR, {}, 60.0, 1.75, 6.3, 0.0).id
    drive(world, car, constant=(12.0, 0.0, 1.0))
    heights = []
    for _ in range(280):
        world.tick(DT_S)
        x, _, z, pitch, _, _ = world.pose(car)
        s = x - 100.0
        wanted = 0.1 * x if s < 0.0 else 10.0 + 0.1 * s - s * s / 600.0
        slope = 0.1 if s < 0.0 else 0.1 - s / 300.0
        if s > 60.0:
            wanted, slope = 10.0 - 0.1 * (x - 160.0), -0.1
        assert z == pytest.approx(wanted, abs=0.02)
        assert math.tan(math.radians(pitch)) == pytest.approx(slope, abs=0.004)
        heights.append(z)
    assert max(heights) == pytest.approx(11.5, abs=0.02)
    assert world.vehicles.record[0]["velocity"][2] == pytest.approx(-1.2 / math.hypot(1, 0.1), 1e-3)


@pytest.mark.parametrize(("yaw_deg", "sign"), [(180.0, 1.0), (0.0, -1.0)])
def test_gravity_acts_along_the_slope(yaw_deg, sign):
    world = world_of(INCLINE)
    y = 1.75 if yaw_deg == 0.0 else -1.75
    car = world.spawn(CAR, {}, 200.0, y, 21.3, yaw_deg).id
    row, yaw = 0, math.radians(yaw_deg)
    world.vehicles.velocity[row] = 10.0 * math.cos(yaw), 10.0 * math.sin(yaw)
    before = speed(world, car)
    world.tick(DT_S)
    gained = (speed(world, car) - before) / DT_S
    angle = math.atan(SLOPE)
    slowed = dynamics.ROLLING_MPS2 + dynamics.ENGINE_BRAKE_MPS2 + bodies.DRAG_PER_M * before**2
    assert gained == pytest.approx(sign * GRAVITY_MPS2 * math.sin(angle) - slowed, rel=1e-3)


def test_what_rolls_over_a_hill_keeps_its_energy():
    """Without the losses that are known, speed squared over 2 g and height are one sum."""
    world = world_of(HILL)
    car = world.spawn(CAR, {}, 40.0, 1.75, 4.3, 0.0).id
    drive(world, car, throttle=1e-12)
    world.vehicles.velocity[0] = 20.0 * math.cos(math.atan(0.1)), 0.0
    lost, sums = 0.0, []
    for _ in range(200):
        before = speed(world, car)
        world.tick(DT_S)
        after = speed(world, car)
        middle = (before + after) / 2.0
        lost += (dynamics.ROLLING_MPS2 + bodies.DRAG_PER_M * before**2) * middle * DT_S
        sums.append(after**2 / 2.0 + GRAVITY_MPS2 * world.pose(car).z + lost)
    assert 180.0 < world.pose(car).x < 280.0
    assert max(sums) - min(sums) < 0.01 * sums[0]


def test_a_braked_vehicle_holds_on_a_slope_and_one_that_is_weightless_is_not_pulled():
    world = world_of(INCLINE)
    held, free = (world.spawn(CAR, {}, x, -1.75, 5.3 + SLOPE * x, 180.0).id for x in (200.0, 250.0))
    drive(world, held, brake=0.3)
    drive(world, free, throttle=1e-12)
    for _ in range(40):
        world.tick(DT_S)
    assert speed(world, held) == 0.0
    wanted = GRAVITY_MPS2 * math.sin(math.atan(SLOPE)) - dynamics.ROLLING_MPS2
    assert speed(world, free) == pytest.approx(2.0 * wanted, rel=0.01)
    world.vehicles.velocity[:] = 0.0
    drive(world, free, weightless=1.0)
    for _ in range(40):
        world.tick(DT_S)
    assert speed(world, free) == 0.0


@pytest.mark.parametrize("over_z", [6.0, 0.0])
def test_who_drives_over_a_bridge_does_not_meet_who_drives_under_it(over_z):
    world = (
        world_of(*BRIDGE)
        if over_z
        else world_of(BRIDGE[0], BRIDGE[1].replace('a="6.0"', 'a="0.01"'))
    )
    under = world.spawn(CAR, {}, 80.0, 1.75, 0.3, 0.0).id
    over = world.spawn(CAR, {}, 101.75, 20.0, over_z + 0.3, -90.0).id
    events = []
    for actor in (under, over):
        drive(world, actor, constant=(10.0, 0.0, 1.0))
    for _ in range(80):
        world.tick(DT_S)
        events += world.events
        assert world.pose(under).z == pytest.approx(0.0, abs=0.02)
        assert world.pose(over).z == pytest.approx(over_z, abs=0.02)
    assert bool(events) is (over_z == 0.0)


def test_on_a_bridge_there_is_room_above_who_stands_below():
    world = world_of(*BRIDGE)
    world.spawn(CAR, {}, 101.0, 1.75, 0.3, 0.0)
    world.spawn(CAR, {}, 101.0, 1.75, 6.3, 0.0)
    with pytest.raises(SpawnError):
        world.spawn(WALKER, {}, 101.0, 1.75, 1.0, 0.0)
    np.testing.assert_allclose(world.vehicles.z, [0.0, 6.0], atol=1e-9)


def test_what_is_spawned_in_the_air_falls_as_galileo_says():
    world = world_of(INCLINE)
    car = world.spawn(CAR, {}, 100.0, 1.75, 13.0 + 0.3 + 5.0, 0.0).id
    ticks = 0
    while world.pose(car).z > 13.0 + 1e-6:
        world.tick(0.01)
        ticks += 1
    assert 0.01 * ticks == pytest.approx(math.sqrt(2.0 * (5.0 - STICK_M) / GRAVITY_MPS2), abs=0.02)
    assert world.vehicles.fall[0] == 0.0


def test_walkers_walk_uphill_upright():
    world = world_of(INCLINE)
    walker = world.spawn(WALKER, {}, 30.0, 4.5, 5.0 + SLOPE * 30.0 + 1.0, 0.0).id
    world.walkers.direction[0], world.walkers.speed[0] = (1.0, 0.0, 0.0), 2.0
    for _ in range(100):
        world.tick(DT_S)
    x, _, z, pitch, _, _ = world.pose(walker)
    assert x == pytest.approx(40.0)
    assert z == pytest.approx(5.0 + SLOPE * 40.0 + 0.12 + 0.93, abs=0.01)
    assert pitch == 0.0


def test_beside_the_road_the_land_is_as_high_and_far_away_height_is_kept():
    world = world_of(INCLINE)
    ground = world.town.ground
    assert ground.height(100.0, 15.0, 13.0) == pytest.approx(13.12, abs=0.02)
    assert ground.height(100.0, -10.0, 13.0) == pytest.approx(13.0, abs=0.02)
    assert ground.height(100.0, 300.0, 42.0) == 42.0
    assert ground.height(100.0, 1.75, -500.0) == -500.0


def test_sensors_pitch_with_their_vehicle():
    world = world_of(INCLINE)
    car = world.spawn(CAR, {}, 50.0, 1.75, 9.3, 0.0).id
    eye = world.spawn("sensor.camera.rgb", {}, 2.0, 0.0, 1.5, 0.0, car, (-3.0, 0.0)).id
    angle = math.atan(SLOPE)
    x, y, z, pitch, yaw, roll = sensor_transform(world, eye)
    assert (x, z) == pytest.approx(
        (50.0 + 2.0 * math.cos(angle) - 1.5 * math.sin(angle),
         9.0 + 2.0 * math.sin(angle) + 1.5 * math.cos(angle)), abs=1e-6,
    )  # fmt: skip
    assert (y, pitch, yaw, roll) == pytest.approx((1.75, math.degrees(angle) - 3.0, 0.0, 0.0))
    row = world.records()[3][-1]
    np.testing.assert_allclose(row["rotation"], [pitch, 0.0, 0.0], atol=1e-4)


def test_models_are_seen_standing_on_the_slope():
    world = world_of(INCLINE)
    world.spawn(CAR, {}, 50.0, 1.75, 9.3, 0.0)
    scene = Scene(world)
    points = scene.triangles.points[scene.triangles.num_still :].reshape(-1, 3)
    assert len(points) == 3 * len(model_of(CAR))
    over = points[:, 2] - (5.0 + SLOPE * points[:, 0])
    assert over.min() == pytest.approx(0.0, abs=0.02)
    tall = 2.0 * world.actors[int(world.vehicles.id[0])].extent[2]
    assert over.max() == pytest.approx(tall / math.cos(math.atan(SLOPE)), abs=0.02)


def test_vehicles_that_are_hidden_below_a_level_town_stay_there_and_meet_nobody():
    world = World(load_town("Dream01"))
    x, y, z, yaw_deg = world.town.spawn_points[0]
    hidden = world.spawn(CAR, {}, x, y, z - 500.0, yaw_deg).id
    world.spawn(CAR, {}, x, y, z, yaw_deg)
    world.tick(DT_S)
    assert world.events == []
    assert world.pose(hidden).z == pytest.approx(z - 500.0)
