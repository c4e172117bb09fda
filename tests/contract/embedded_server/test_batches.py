"""Every command of a batch, with its answer."""

import pytest

from support.server import CAR, call, spawn

carla = pytest.importorskip("carla")
C = carla.command
V = carla.Vector3D


def commands(car, walker):
    """Returns a command of each kind, by name."""
    place = car.get_transform()
    control = car.get_physics_control()
    return {
        "control": C.ApplyVehicleControl(car, carla.VehicleControl(throttle=0.3)),
        "ackermann": C.ApplyVehicleAckermannControl(car, carla.VehicleAckermannControl(speed=2.0)),
        "physics": C.ApplyVehiclePhysicsControl(car, control),
        "transform": C.ApplyTransform(car, place),
        "velocity": C.ApplyTargetVelocity(car, V(1.0, 0.0, 0.0)),
        "turn": C.ApplyTargetAngularVelocity(car, V(0.0, 0.0, 1.0)),
        "impulse": C.ApplyImpulse(car, V(1.0, 0.0, 0.0)),
        "force": C.ApplyForce(car, V(1.0, 0.0, 0.0)),
        "angular impulse": C.ApplyAngularImpulse(car, V(0.0, 0.0, 1.0)),
        "torque": C.ApplyTorque(car, V(0.0, 0.0, 1.0)),
        "physics switch": C.SetSimulatePhysics(car, True),
        "gravity": C.SetEnableGravity(car, True),
        "lights": C.SetVehicleLightState(car.id, carla.VehicleLightState.Fog),
        "walker": C.ApplyWalkerControl(walker, carla.WalkerControl(V(1.0, 0.0, 0.0), 1.0, False)),
        "walker state": C.ApplyWalkerState(walker, walker.get_transform(), 0.0),
    }


def test_every_command_is_answered_with_its_actor(client, world, car):
    blueprint = world.get_blueprint_library().find("walker.pedestrian.0001")
    walker = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[4])
    world.tick()
    made = commands(car, walker)
    answers = client.apply_batch_sync(list(made.values()), True)
    assert len(answers) == len(made)
    for name, answer in zip(made, answers, strict=True):
        assert not answer.has_error(), (name, answer.error)
        assert answer.actor_id == (walker.id if "walker" in name else car.id)
    assert car.get_light_state() == carla.VehicleLightState.Fog
    assert walker.get_location().distance(walker.get_transform().location) == 0.0


def test_commands_tell_what_they_were_made_of(world, car):
    up, place = V(0.0, 0.0, 1.0), carla.Transform(carla.Location(1.0, 2.0, 3.0))
    physics = C.ApplyVehiclePhysicsControl(7, carla.VehiclePhysicsControl(mass=900.0))
    rigid = carla.AttachmentType.Rigid
    spawn_it = C.SpawnActor(world.get_blueprint_library().find(CAR), place, car, rigid, "roof")
    autopilot = C.SetAutopilot(7, True, 8123)
    assert C.ApplyTargetAngularVelocity(7, up).angular_velocity == up
    assert physics.physics_control.mass == 900.0
    assert C.DestroyActor(car).actor_id == car.id
    assert (autopilot.actor_id, autopilot.tm_port, autopilot.enabled) == (7, 8123, True)
    assert [C.SetEnableGravity(7, on).enabled for on in (True, False)] == [True, False]
    assert [C.SetSimulatePhysics(7, on).enabled for on in (True, False)] == [True, False]
    assert C.SetVehicleLightState(7, 128).light_state == 128
    shown = C.ShowDebugTelemetry(7, True)
    assert (shown.actor_id, shown.enabled) == (7, True)
    assert spawn_it.transform == place
    with pytest.raises(TypeError, match="No Python class"):  # The client cannot show its own value.
        _ = spawn_it.parent_id
    assert (spawn_it.attachment_type, spawn_it.socket_name) == (rigid, "roof")


def test_destroying_twice_is_an_error_of_the_second(client, world, car):
    answers = client.apply_batch_sync([C.DestroyActor(car.id), C.DestroyActor(car.id)], True)
    assert [answer.has_error() for answer in answers] == [False, True]
    assert str(car.id) in answers[1].error


def test_commands_that_follow_act_on_what_was_spawned(client, world):
    blueprint = world.get_blueprint_library().find(CAR)
    following = (
        C.SpawnActor(blueprint, world.get_map().get_spawn_points()[12])
        .then(C.SetVehicleLightState(C.FutureActor, carla.VehicleLightState.LowBeam))
        .then(C.ApplyTargetVelocity(C.FutureActor, V(3.0, 0.0, 0.0)))
        .then(C.SetSimulatePhysics(C.FutureActor, False))
    )
    (answer,) = client.apply_batch_sync([following], True)
    made = world.get_actor(answer.actor_id)
    assert made.get_light_state() == carla.VehicleLightState.LowBeam
    assert made.get_velocity().length() == 0.0


def test_sensors_are_spawned_on_their_parent(client, world, car):
    blueprint = world.get_blueprint_library().find("sensor.other.gnss")
    place = carla.Transform(carla.Location(1.0, 0.0, 2.0))
    (answer,) = client.apply_batch_sync([C.SpawnActor(blueprint, place, car)], True)
    sensor = world.get_actor(answer.actor_id)
    assert sensor.parent.id == car.id
    assert sensor.get_location().distance(car.get_location()) == pytest.approx(5.0**0.5, abs=0.05)


def test_a_broken_command_harms_no_other(server, world, car):
    good = [[8, [car.id, [1.0, 0.0, 0.0]]]]
    batch = [[[2, [car.id]]], [[99, []]], [[-1, []]], [7], [["spawn", []]], [[0, [1, 2]]], good]
    answers = call(server, "apply_batch", batch, False)[3]
    assert [answer[0][0] for answer in answers] == [0, 0, 0, 0, 0, 0, 1]
    assert all(isinstance(answer[0][1][0], str) for answer in answers[:-1])
    world.tick()
    assert car.get_velocity().length() > 0.9


def test_commands_that_the_client_cannot_send_are_answered_too(server, world):
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    car = spawn(world)
    batch = [[[20, ["quit"]]], [[21, [light.id, 2]]], [[17, [car.id, True]]]]
    answers = call(server, "apply_batch", batch, False)[3]
    assert "no console" in answers[0][0][1][0]
    assert answers[1:] == [[[1, light.id]], [[1, car.id]]]
    world.tick()
    assert light.get_state() == carla.TrafficLightState.Green


def test_a_batch_can_tick(server, client, world):
    before = world.get_snapshot().frame
    assert call(server, "apply_batch", [], True)[3] == []
    assert world.tick() == before + 2


def test_a_batch_of_nothing_in_particular_is_an_error(server, client):
    assert "commands" in call(server, "apply_batch", "all", False)[2]
    client.apply_batch([], False)
    assert client.apply_batch_sync([], True) == []


@pytest.mark.parametrize("attachment", [0, 1, 192])
def test_a_camera_in_a_batch_is_on_a_spring_arm_only_where_that_is_said(
    server, world, car, attachment
):
    place = [[4.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    spawned = [[0, [[0, "sensor.camera.depth", []], place, [True, car.id], attachment, "", []]]]
    answers = call(server, "apply_batch", [spawned], False)[3]
    world.tick()
    yaw = world.get_actor(answers[0][0][1]).get_transform().rotation.yaw
    turned = (yaw - car.get_transform().rotation.yaw) % 360.0
    assert turned == pytest.approx(180.0 if attachment == 1 else 0.0, abs=1e-3)
