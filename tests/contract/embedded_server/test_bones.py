"""Parts of actors through the client: components, bones, sockets, and poses of walkers."""

import math

import pytest

from support.server import call, ticks

carla = pytest.importorskip("carla")


@pytest.fixture
def walker(world):
    blueprint = world.get_blueprint_library().find("walker.pedestrian.0001")
    made = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[50])
    world.tick()
    return made


def bones(walker):
    return {bone.name: bone for bone in walker.get_bones().bone_transforms}


def near(transform, x, y, z):
    return transform.location.distance(carla.Location(x, y, z)) < 1e-3


def test_a_vehicle_has_wheels_where_its_physics_has_them(world, car):
    car.apply_control(carla.VehicleControl(throttle=0.7, steer=0.5))
    ticks(world, 20)
    names, places = car.get_bone_names(), car.get_bone_world_transforms()
    assert names[0] == "Vehicle_Base"
    assert len(names) == len(places) == 5
    assert places[0].location.distance(car.get_location()) < 1e-3
    wheels = car.get_physics_control().wheels
    for place, wheel in zip(places[1:], wheels, strict=True):
        told = wheel.position / 100.0
        assert place.location.x == pytest.approx(told.x, abs=0.01)
        assert place.location.y == pytest.approx(told.y, abs=0.01)
    turned = car.get_wheel_steer_angle(carla.VehicleWheelLocation.FL_Wheel)
    relative = car.get_bone_relative_transforms()
    assert turned > 10.0
    assert [relative[i].rotation.yaw for i in (1, 3)] == pytest.approx([turned, 0.0], abs=0.01)
    assert len(car.get_vehicle_bone_world_transforms()) == 5
    assert car.get_vehicle_bone_world_transforms()[4].location == places[4].location


def test_components_are_where_their_actor_is(world, car, walker):
    assert car.get_component_names() == ["VehicleMesh"]
    assert car.get_component_relative_transform("VehicleMesh").location.length() == 0.0
    seen = car.get_component_world_transform("VehicleMesh")
    assert seen.location.distance(car.get_location()) < 1e-3
    assert seen.rotation.yaw == pytest.approx(car.get_transform().rotation.yaw, abs=1e-3)
    below = walker.get_component_world_transform("CharacterMesh0").location
    assert walker.get_location().z - below.z == pytest.approx(0.93, abs=1e-3)
    with pytest.raises(RuntimeError, match="no component 'Hat'"):
        walker.get_component_relative_transform("Hat")


def test_nothing_has_sockets(car, walker):
    for actor in (car, walker):
        assert actor.get_socket_names() == []
        assert actor.get_socket_world_transforms() == []
        assert actor.get_socket_relative_transforms() == []


def test_a_walker_at_rest_has_its_joints_where_it_stands(world, walker):
    found = bones(walker)
    assert list(found) == walker.get_bone_names()
    assert near(found["crl_hips__C"].component, 0.0, 0.0, 0.0)
    assert near(found["crl_foot__R"].component, 0.0, 0.095, -0.89)
    assert near(found["crl_leg__R"].relative, 0.0, 0.0, -0.40)
    place = walker.get_transform()
    for bone in found.values():
        expected = place.transform(bone.component.location)
        assert bone.world.location.distance(expected) < 1e-3
    world_places = walker.get_bone_world_transforms()
    relative = walker.get_bone_relative_transforms()
    for name, bone in found.items():
        index = walker.get_bone_names().index(name)
        assert world_places[index].location.distance(bone.world.location) < 1e-4
        assert relative[index].location.distance(bone.relative.location) < 1e-4


def test_a_pose_is_shown_as_far_as_it_is_blended(world, walker):
    control, rest = carla.WalkerBoneControlIn(), bones(walker)["crl_arm__R"].relative
    raised = carla.Transform(rest.location, carla.Rotation(pitch=90.0))
    control.bone_transforms = [("crl_arm__R", raised)]
    walker.set_bones(control)
    world.tick()
    arm, reach = bones(walker)["crl_arm__R"].component.location, 0.29
    assert near(bones(walker)["crl_foreArm__R"].component, arm.x, arm.y, arm.z - reach)
    walker.show_pose()
    world.tick()
    assert near(bones(walker)["crl_foreArm__R"].component, arm.x + reach, arm.y, arm.z)
    walker.blend_pose(0.5)
    world.tick()
    half = reach * math.sqrt(0.5)
    assert near(bones(walker)["crl_foreArm__R"].component, arm.x + half, arm.y, arm.z - half)
    walker.hide_pose()
    world.tick()
    assert near(bones(walker)["crl_foreArm__R"].component, arm.x, arm.y, arm.z - reach)
    walker.show_pose()
    walker.get_pose_from_animation()
    world.tick()
    assert near(bones(walker)["crl_foreArm__R"].component, arm.x, arm.y, arm.z - reach)


def test_bones_are_values_of_the_client():
    bone = carla.bone_transform()
    bone.name, bone.transform = "crl_arm__R", carla.Transform(carla.Location(1.0, 2.0, 3.0))
    assert (bone.name, bone.transform.location.y) == ("crl_arm__R", 2.0)
    control = carla.WalkerBoneControlIn()
    control.bone_transforms = [(bone.name, bone.transform), ("b", carla.Transform())]
    assert [b.name for b in control.bone_transforms] == ["crl_arm__R", "b"]
    vector = carla.vector_of_bones()
    vector.append(bone)
    vector.extend([bone, bone])
    assert [b.transform.location.z for b in vector] == [3.0] * 3
    out = carla.bone_transform_out()
    out.name = "a"
    for part in ("world", "component", "relative"):
        setattr(out, part, carla.Transform(carla.Location(1.0, 0.0, 0.0)))
        assert getattr(out, part).location.x == 1.0
    vector = carla.vector_of_bones_out()
    vector.append(out)
    vector.extend([out])
    assert [b.name for b in vector] == ["a", "a"]


def test_poses_are_looked_at(server, walker, car):
    place = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    for arguments, words in (
        (("set_bones_transform", walker.id, [[["tail", place]]]), "no bone 'tail'"),
        (("set_bones_transform", car.id, [[]]), "no walker"),
        (("set_bones_transform", walker.id, [[["crl_arm__R", [[0.0], [0.0]]]]]), "crl_arm__R"),
        (("blend_pose", walker.id, 2.0), "blend"), (("get_bones_transform", 999_999), "not found"),
        (("get_vehicle_bone_world_transforms", walker.id), "not found"),
    ):  # fmt: skip
        assert words in str(call(server, *arguments)[3])
