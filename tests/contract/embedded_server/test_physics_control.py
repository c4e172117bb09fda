"""Physics, Ackermann control, telemetry, wheels and lights of the embedded server's vehicles."""

import math

import pytest

from support.server import call, ticks

carla = pytest.importorskip("carla")
FRONT = (carla.VehicleWheelLocation.FL_Wheel, carla.VehicleWheelLocation.FR_Wheel)
BACK = (carla.VehicleWheelLocation.BL_Wheel, carla.VehicleWheelLocation.BR_Wheel)


def test_physics_are_told_as_they_were_set(world, car):
    control = car.get_physics_control()
    assert control.mass == pytest.approx(1696.0)
    assert [wheel.max_steer_angle for wheel in control.wheels] == pytest.approx([70, 70, 0, 0])
    control.mass, control.max_rpm, control.drag_coefficient = 2500.0, 7000.0, 0.45
    control.final_ratio, control.use_gear_autobox = 3.5, False
    control.torque_curve = [carla.Vector2D(0.0, 300.0), carla.Vector2D(4000.0, 500.0)]
    control.center_of_mass = carla.Vector3D(0.1, 0.2, 0.3)
    car.apply_physics_control(control)
    told = car.get_physics_control()
    assert (told.mass, told.max_rpm, told.final_ratio) == (2500.0, 7000.0, 3.5)
    assert told.drag_coefficient == pytest.approx(0.45)
    assert told.use_gear_autobox is False
    assert [(p.x, p.y) for p in told.torque_curve] == [(0.0, 300.0), (4000.0, 500.0)]
    assert told.center_of_mass.y == pytest.approx(0.2)


def test_a_heavier_vehicle_is_slower(world, car):
    speeds = []
    for mass in (1696.0, 60_000.0):
        control = car.get_physics_control()
        control.mass = mass
        car.apply_physics_control(control)
        car.set_target_velocity(carla.Vector3D())
        car.apply_control(carla.VehicleControl(throttle=1.0))
        ticks(world, 20)
        speeds.append(car.get_velocity().length())
    assert speeds[1] < 0.8 * speeds[0]


def test_a_smaller_steering_angle_turns_less(world, car):
    turned = []
    for angle in (60.0, 20.0):
        control = car.get_physics_control()
        wheels = control.wheels
        for wheel in wheels[:2]:
            wheel.max_steer_angle = angle
        control.wheels = wheels
        car.apply_physics_control(control)
        car.enable_constant_velocity(carla.Vector3D(2.0, 0.0, 0.0))
        car.apply_control(carla.VehicleControl(steer=0.5))
        ticks(world, 5)
        turned.append(car.get_angular_velocity().z)
    assert 0.0 < turned[1] < 0.5 * turned[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({11: 0.0}, "mass must be positive"), ({11: math.nan}, "not finite"),
        ({15: []}, "wheels must be a list of 4"), ({0: [[1.0]]}, "torque_curve"),
        ({6: 1}, "use_gear_autobox"), ({1: "fast"}, "physics_control"),
    ],
)  # fmt: skip
def test_broken_physics_are_refused_and_nothing_changes(server, world, car, change, words):
    before = call(server, "get_physics_control", car.id)[3][0][1]
    broken = list(before)
    for index, value in change.items():
        broken[index] = value
    refused = call(server, "apply_physics_control", car.id, broken)[3][0]
    assert refused[0] is True
    assert words in refused[1][0]
    assert call(server, "get_physics_control", car.id)[3][0][1] == before


@pytest.mark.parametrize("speed", [8.0, -3.0])
def test_ackermann_control_reaches_its_speed(world, car, speed):
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=speed))
    ticks(world, 120)
    ahead, velocity = car.get_transform().get_forward_vector(), car.get_velocity()
    assert velocity.x * ahead.x + velocity.y * ahead.y == pytest.approx(speed, abs=0.3)
    assert car.get_control().reverse is (speed < 0.0)


def test_ackermann_control_stops_and_steers(world, car):
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=5.0, steer=0.2))
    ticks(world, 40)
    assert car.get_wheel_steer_angle(FRONT[0]) == pytest.approx(math.degrees(0.2), abs=0.1)
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=0.0))
    ticks(world, 60)
    assert car.get_velocity().length() < 0.1


def test_ackermann_limits_hold(world, car):
    car.apply_ackermann_control(
        carla.VehicleAckermannControl(speed=20.0, acceleration=1.0, steer=0.5, steer_speed=0.2)
    )
    ticks(world, 20)
    assert 0.5 < car.get_velocity().length() < 1.1
    assert car.get_wheel_steer_angle(FRONT[0]) == pytest.approx(math.degrees(0.2), abs=1.0)


def test_pedals_take_over_from_ackermann(world, car):
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=8.0))
    ticks(world, 20)
    car.apply_control(carla.VehicleControl(brake=1.0))
    ticks(world, 30)
    assert car.get_velocity().length() == pytest.approx(0.0, abs=1e-6)
    assert car.get_control().brake == 1.0


def test_ackermann_settings_are_kept_and_act(world, car):
    settings = car.get_ackermann_controller_settings()
    assert settings.speed_kp == pytest.approx(0.15)
    assert settings.accel_kp == pytest.approx(0.01)
    settings.speed_kp = 0.01
    car.apply_ackermann_controller_settings(settings)
    assert car.get_ackermann_controller_settings().speed_kp == pytest.approx(0.01)
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=8.0))
    ticks(world, 20)
    assert car.get_velocity().length() < 1.5


def test_telemetry_says_what_the_vehicle_does(world, car):
    car.apply_control(carla.VehicleControl(throttle=0.8, steer=0.1))
    ticks(world, 20)
    told = car.get_telemetry_data()
    assert told.speed == pytest.approx(car.get_velocity().length(), abs=1e-3)
    assert told.throttle == pytest.approx(0.8)
    assert told.steer == pytest.approx(0.1)
    assert told.brake == 0.0
    assert told.gear == 1
    assert told.engine_rpm >= 800.0
    assert told.drag == pytest.approx(0.68 * told.speed**2, rel=1e-3)
    assert len(told.wheels) == 4
    wheel = told.wheels[0]
    assert wheel.omega == pytest.approx(told.speed / 0.35, rel=1e-3)
    assert wheel.tire_load == pytest.approx(car.get_physics_control().mass * 9.81 / 4.0, rel=1e-3)
    assert wheel.normalized_tire_load == 1.0
    assert wheel.long_force > 0.0
    assert (wheel.lat_slip, wheel.long_slip) == (0.0, 0.0)
    assert wheel.tire_friction == pytest.approx(car.get_physics_control().wheels[0].tire_friction)
    assert wheel.torque == pytest.approx(wheel.long_force * 0.35, rel=1e-3)
    for normal, force in (
        (wheel.normalized_long_force, wheel.long_force),
        (wheel.normalized_lat_force, wheel.lat_force),
    ):
        assert normal == pytest.approx(force / wheel.tire_load, rel=1e-3)


def test_wheels_steer_with_the_control(world, car):
    car.apply_control(carla.VehicleControl(steer=-0.5))
    world.tick()
    for wheel in FRONT:
        assert car.get_wheel_steer_angle(wheel) == pytest.approx(-35.0)
    for wheel in BACK:
        assert car.get_wheel_steer_angle(wheel) == 0.0


def test_wheels_without_physics_show_what_they_are_told(world, car):
    car.set_wheel_steer_direction(FRONT[0], 12.0)
    car.set_wheel_pitch_angle(BACK[1], 33.0)
    assert car.get_wheel_steer_angle(FRONT[0]) == 0.0
    car.set_simulate_physics(False)
    assert car.get_wheel_steer_angle(FRONT[0]) == 12.0
    assert car.get_wheel_pitch_angle(BACK[1]) == 33.0
    assert car.get_wheel_pitch_angle(FRONT[0]) == 0.0


def test_lights_of_vehicles_are_kept(world, car):
    states = carla.VehicleLightState
    for state in (states.LowBeam, states.Brake, states.All, states.NONE):
        car.set_light_state(carla.VehicleLightState(state))
        world.tick()
        assert car.get_light_state() == state
        assert world.get_vehicles_light_states()[car.id] == state


def test_a_vehicle_knows_its_limit_and_does_not_fail(world, car):
    assert 20.0 <= car.get_speed_limit() <= 130.0
    assert car.get_failure_state() == carla.VehicleFailureState.NONE
    assert car.get_traffic_light_state() == carla.TrafficLightState.Green or (
        car.is_at_traffic_light()
    )


def test_what_only_shows_is_accepted(server, world, car):
    for method, arguments in (
        ("show_vehicle_debug_telemetry", [True]), ("restore_physx_physics", []),
        ("set_actor_autopilot", [False]),
    ):  # fmt: skip
        assert call(server, method, car.id, *arguments)[3] == [[False]]
    car.show_debug_telemetry(True)
    car.restore_physx_physics()
    world.tick()


def test_a_high_centre_of_mass_slows_turns_and_a_low_one_does_not(world, car):
    turned, start = [], car.get_transform()
    for up in (0.0, 2.0, -0.2):
        car.set_transform(start)
        control = car.get_physics_control()
        control.center_of_mass = carla.Vector3D(0.0, 0.0, up)
        car.apply_physics_control(control)
        car.enable_constant_velocity(carla.Vector3D(12.0, 0.0, 0.0))
        car.apply_control(carla.VehicleControl(steer=0.6))
        ticks(world, 5)
        turned.append(car.get_angular_velocity().z)
    assert turned[1] < 0.7 * turned[0]
    assert turned[2] == pytest.approx(turned[0], rel=1e-3)


def test_gears_of_a_client_change_and_telemetry_names_them(world, car):
    control = car.get_physics_control()
    control.forward_gears = [
        carla.GearPhysicsControl(ratio=ratio, down_ratio=0.05, up_ratio=0.15) for ratio in (3, 2, 1)
    ]
    control.gear_switch_time = 0.1
    car.apply_physics_control(control)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    gears = []
    for _ in range(100):
        world.tick()
        gears.append(car.get_telemetry_data().gear)
    assert sorted(set(gears)) == [1, 2, 3]
    assert gears == sorted(gears)


def test_a_steering_curve_of_a_client_turns_the_wheels_less_at_speed(world, car):
    turned = []
    for share in (1.0, 0.25):
        control = car.get_physics_control()
        control.steering_curve = [carla.Vector2D(0.0, 1.0), carla.Vector2D(7.2, share)]
        car.apply_physics_control(control)
        car.enable_constant_velocity(carla.Vector3D(2.0, 0.0, 0.0))
        car.apply_control(carla.VehicleControl(steer=0.1))
        ticks(world, 5)
        turned.append(car.get_angular_velocity().z)
    angle = math.radians(7.0)
    assert turned[1] / turned[0] == pytest.approx(math.tan(angle / 4.0) / math.tan(angle), rel=1e-3)
