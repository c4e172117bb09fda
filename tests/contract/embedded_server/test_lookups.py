"""Snapshots, actor lists, blueprints and the map as the client reads them from the server."""

import queue

import pytest

from support.server import CAR, DT_S, spawn

carla = pytest.importorskip("carla")


def test_snapshots_hold_every_actor(world):
    car = spawn(world)
    frame = world.tick()
    shot = world.get_snapshot()
    assert shot.frame == shot.timestamp.frame == frame
    assert shot.timestamp.delta_seconds == pytest.approx(DT_S)
    assert shot.timestamp.platform_timestamp > 0.0
    assert shot.frame_count == shot.timestamp.frame_count == frame
    assert shot.elapsed_seconds == shot.timestamp.elapsed_seconds > 0.0
    assert shot.has_actor(car.id)
    seen = shot.find(car.id)
    assert seen.id == car.id
    assert seen.get_transform() == car.get_transform()
    assert seen.get_velocity() == car.get_velocity()
    assert seen.get_angular_velocity() == car.get_angular_velocity()
    assert seen.get_acceleration() == car.get_acceleration()
    assert {actor.id for actor in shot} == {actor.id for actor in world.get_actors()}


def test_callbacks_are_called_until_they_are_removed(world):
    frames: queue.Queue[int] = queue.Queue()
    later: queue.Queue[int] = queue.Queue()
    number = world.on_tick(lambda shot: frames.put(shot.frame))
    ticked = [world.tick() for _ in range(3)]
    heard = [frames.get(timeout=10.0)]
    while heard[-1] < ticked[-1]:
        heard.append(frames.get(timeout=10.0))
    world.remove_on_tick(number)
    following = world.on_tick(lambda shot: later.put(shot.frame))
    last = world.tick()
    while later.get(timeout=10.0) < last:
        pass
    world.remove_on_tick(following)
    assert set(ticked) <= set(heard)
    assert frames.empty()


def test_actors_are_found(world):
    car = spawn(world)
    world.tick()
    actors = world.get_actors()
    assert actors.find(car.id).id == world.get_actor(car.id).id == car.id
    assert [actor.id for actor in actors.filter("vehicle.lincoln.*")] == [car.id]
    assert [actor.id for actor in world.get_actors([car.id])] == [car.id]
    assert world.get_actor(10**6) is None
    assert car.is_alive
    assert car.is_active
    assert not car.is_dormant
    assert car.actor_state == carla.ActorState.Active
    assert car.parent is None
    assert car.get_world().id == world.id
    assert list(car.semantic_tags) == [14]
    assert car.get_location() == car.get_transform().location


def test_blueprints_are_found(world):
    library = world.get_blueprint_library()
    blueprint = library.find(CAR)
    assert blueprint.id == CAR
    assert blueprint.has_tag("vehicle")
    assert blueprint.match_tags("*lincoln*")
    assert blueprint.has_attribute("color")
    assert not blueprint.has_attribute("wings")
    wheels = blueprint.get_attribute("number_of_wheels")
    assert (wheels.id, wheels.as_int(), wheels.is_modifiable) == ("number_of_wheels", 4, False)
    assert wheels.type == carla.ActorAttributeType.Int
    assert blueprint.get_attribute("color").as_color() == carla.Color(120, 120, 130)
    assert blueprint.get_attribute("has_lights").as_bool() is True
    assert blueprint.get_attribute("base_type").as_str() == "car"
    walker = library.find("walker.pedestrian.0001")
    assert walker.get_attribute("speed").as_float() == pytest.approx(1.4)
    assert walker.get_attribute("speed").recommended_values == ["0.0", "1.4", "2.8"]
    assert "vehicle" in blueprint.tags
    for name, chosen in (
        (CAR, "color"), ("sensor.lidar.ray_cast", "dropoff_general_rate"), (CAR, "role_name"),
    ):  # fmt: skip
        attribute = library.find(name).get_attribute(chosen)
        assert attribute.recommended_values[0]  # Programs take the first without a look.
        library.find(name).set_attribute(chosen, attribute.recommended_values[-1])
    assert {found.id for found in library.filter_by_attribute("base_type", "bus")} == {
        "vehicle.mitsubishi.fusorosa"
    }


def test_the_map_answers(world, tmp_path):
    town = world.get_map()
    point = town.get_spawn_points()[0]
    here = town.get_waypoint(point.location)
    assert here.transform.location.distance_2d(point.location) < 0.1
    assert (here.is_junction, here.is_intersection) == (False, False)
    assert here.lane_type == carla.LaneType.Driving
    assert here.lane_width > 2.0
    assert here.next(2.0)[0].s != here.s
    assert here.previous(2.0)[0].id != here.id
    assert here.next_until_lane_end(2.0)
    assert here.previous_until_lane_start(2.0)
    again = town.get_waypoint_xodr(here.road_id, here.lane_id, here.s)
    assert (again.road_id, again.section_id, again.lane_id) == (
        here.road_id, here.section_id, here.lane_id,
    )  # fmt: skip
    assert here.left_lane_marking.type != here.right_lane_marking.type or here.lane_change
    assert here.get_landmarks(300.0)
    assert len(town.get_topology()) > 20
    assert len(town.generate_waypoints(20.0)) > 50
    assert town.get_all_landmarks()
    landmark = town.get_all_landmarks_of_type("1000001")[0]
    assert town.get_all_landmarks_from_id(landmark.id)[0].id == landmark.id
    assert landmark.type == "1000001"
    assert landmark.transform.location.distance(carla.Location()) > 1.0
    geo = town.transform_to_geolocation(point.location)
    assert town.geolocation_to_transform(geo).distance_2d(point.location) < 0.5
    town.save_to_disk(str(tmp_path / "town"))
    assert (tmp_path / "town.xodr").read_text().rstrip() == town.to_opendrive().rstrip()


def test_junctions_answer(world):
    town = world.get_map()
    inside = next(w for w in town.generate_waypoints(3.0) if w.is_junction)
    junction = inside.get_junction()
    assert junction.id == inside.junction_id
    assert junction.bounding_box.extent.x > 1.0
    assert junction.get_waypoints(carla.LaneType.Driving)
    for light in world.get_traffic_lights_in_junction(junction.id):
        assert light.type_id == "traffic.traffic_light"


def test_attachments_follow_their_parent(world):
    car = spawn(world)
    blueprint = world.get_blueprint_library().find("sensor.other.collision")
    for kind in (carla.AttachmentType.Rigid, carla.AttachmentType.SpringArm):
        place = carla.Transform(carla.Location(0.0, 0.0, 1.0))
        sensor = world.spawn_actor(blueprint, place, attach_to=car, attachment_type=kind)
        world.tick()
        assert sensor.get_location().distance_2d(car.get_location()) < 0.01
        assert not sensor.is_listening()
