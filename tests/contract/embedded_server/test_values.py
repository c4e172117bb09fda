"""Values that live in the client alone: what is put in comes out."""

import math

import pytest

carla = pytest.importorskip("carla")

FIELDS = {
    "Vector2D": {"x": 1.5, "y": -2.5}, "Vector3D": {"x": 1.5, "y": -2.5, "z": 3.5},
    "Location": {"x": 1.5, "y": -2.5, "z": 3.5},
    "Rotation": {"pitch": 1.5, "yaw": -2.5, "roll": 3.5},
    "GeoLocation": {"latitude": 1.5, "longitude": -2.5, "altitude": 3.5},
    "VehicleControl": {"throttle": 0.5, "steer": -0.25, "brake": 0.75, "hand_brake": True,
                       "reverse": True, "manual_gear_shift": True, "gear": 2},
    "VehicleAckermannControl": {"steer": 0.5, "steer_speed": 0.25, "speed": 3.0,
                                "acceleration": 1.0, "jerk": 2.0},
    "AckermannControllerSettings": {"speed_kp": 0.5, "speed_ki": 0.25, "speed_kd": 1.0,
                                    "accel_kp": 2.0, "accel_ki": 3.0, "accel_kd": 4.0},
    "WalkerControl": {"speed": 1.5, "jump": True},
    "Color": {"r": 1, "g": 2, "b": 3, "a": 4},
    "FloatColor": {"r": 0.5, "g": 0.25, "b": 1.0, "a": 0.75},
    "GearPhysicsControl": {"ratio": 1.5, "down_ratio": 0.5, "up_ratio": 0.75},
    "WheelPhysicsControl": {"tire_friction": 1.5, "damping_rate": 0.5, "max_steer_angle": 40.0,
                            "radius": 33.0, "max_brake_torque": 900.0,
                            "max_handbrake_torque": 800.0, "lat_stiff_max_load": 3.0,
                            "lat_stiff_value": 4.0, "long_stiff_value": 5.0},
    "VehiclePhysicsControl": {"max_rpm": 6000.0, "moi": 1.5, "damping_rate_full_throttle": 0.5,
                              "use_gear_autobox": True, "gear_switch_time": 0.25,
                              "clutch_strength": 9.0, "final_ratio": 4.0, "mass": 1500.0,
                              "drag_coefficient": 0.25, "use_sweep_wheel_collision": True},
    "WorldSettings": {"synchronous_mode": True, "no_rendering_mode": True, "substepping": False,
                      "max_substep_delta_time": 0.5, "max_substeps": 7, "max_culling_distance": 9.0,
                      "deterministic_ragdolls": True, "fixed_delta_seconds": 0.25,
                      "tile_stream_distance": 5.0, "actor_active_distance": 6.0,
                      "spectator_as_ego": False},
    "OpendriveGenerationParameters": {"vertex_distance": 2.5, "max_road_length": 40.0,
                                      "wall_height": 1.5, "additional_width": 0.5,
                                      "smooth_junctions": False, "enable_mesh_visibility": False,
                                      "enable_pedestrian_navigation": False},
    "LightState": {"intensity": 1.5, "active": True},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [(name, field, value) for name, values in FIELDS.items() for field, value in values.items()],
)
def test_fields_come_back_as_they_were_set(name, field, value):
    made = getattr(carla, name)()
    setattr(made, field, value)
    assert getattr(made, field) == pytest.approx(value)


def test_parts_of_values_come_back_as_they_were_set():
    ahead, corner = carla.Vector3D(0.0, 1.0, 0.0), carla.Vector3D(1.0, 2.0, 3.0)
    walking, wheel, lamp = carla.WalkerControl(), carla.WheelPhysicsControl(), carla.LightState()
    walking.direction, wheel.position = ahead, corner
    lamp.color, lamp.group = carla.Color(1, 2, 3), carla.LightGroup.Street
    assert (walking.direction, wheel.position) == (ahead, corner)
    assert (lamp.color, lamp.group) == (carla.Color(1, 2, 3), carla.LightGroup.Street)
    physics, gear = carla.VehiclePhysicsControl(), carla.GearPhysicsControl()
    bend = [(0.0, 1.0), (9.0, 0.5)]
    physics.damping_rate_zero_throttle_clutch_engaged = 1.5
    physics.damping_rate_zero_throttle_clutch_disengaged = 0.25
    physics.forward_gears = [gear, gear]
    physics.steering_curve = [carla.Vector2D(*point) for point in bend]
    assert physics.damping_rate_zero_throttle_clutch_engaged == 1.5
    assert physics.damping_rate_zero_throttle_clutch_disengaged == 0.25
    assert len(physics.forward_gears) == 2
    assert [(point.x, point.y) for point in physics.steering_curve] == bend


def test_vectors_compute():
    a, b = carla.Vector3D(3.0, 4.0, 0.0), carla.Vector3D(0.0, 0.0, 2.0)
    assert (a.length(), a.squared_length()) == (5.0, 25.0)
    assert (a.dot(b), a.dot_2d(a)) == (0.0, 25.0)
    assert a.cross(b) == carla.Vector3D(8.0, -6.0, 0.0)
    assert a.distance_2d(b) == 5.0
    assert a.distance_squared(b) == 29.0
    assert a.distance_squared_2d(b) == 25.0
    assert a.distance(b) == pytest.approx(math.sqrt(29.0))
    assert a.get_vector_angle(b) == pytest.approx(math.pi / 2.0)
    assert a.make_unit_vector().length() == pytest.approx(1.0)
    assert carla.Vector2D(3.0, 4.0).length() == 5.0
    assert carla.Location(1.0, 2.0, 2.0).distance(carla.Location()) == 3.0


def test_transforms_compute():
    place = carla.Transform(carla.Location(1.0, 2.0, 3.0), carla.Rotation(yaw=90.0))
    assert place.get_forward_vector().y == pytest.approx(1.0)
    assert place.get_right_vector().x == pytest.approx(-1.0)
    assert place.get_up_vector().z == pytest.approx(1.0)
    moved = place.transform(carla.Location(1.0, 0.0, 0.0))
    assert (moved.x, moved.y, moved.z) == pytest.approx((1.0, 3.0, 3.0), abs=1e-6)
    assert place.inverse_transform(moved).x == pytest.approx(1.0, abs=1e-6)
    assert place.transform_vector(carla.Vector3D(1.0, 0.0, 0.0)).y == pytest.approx(1.0)
    assert place.get_matrix()[2][3] == 3.0
    assert place.get_inverse_matrix()[3][3] == 1.0
    assert (place.location.x, place.rotation.yaw) == (1.0, 90.0)
    assert place.rotation.get_forward_vector().y == pytest.approx(1.0)


def test_boxes_compute():
    box = carla.BoundingBox(carla.Location(0.0, 0.0, 1.0), carla.Vector3D(2.0, 1.0, 1.0))
    assert box.contains(carla.Location(1.9, 0.9, 1.9), carla.Transform())
    assert not box.contains(carla.Location(2.1, 0.0, 1.0), carla.Transform())
    assert len(box.get_local_vertices()) == len(box.get_world_vertices(carla.Transform())) == 8
    assert box.rotation.yaw == 0.0


def test_textures_hold_their_pixels():
    for texture, colour in (
        (carla.TextureColor(2, 3), carla.Color(1, 2, 3, 4)),
        (carla.TextureFloatColor(2, 3), carla.FloatColor(0.5, 0.25, 1.0, 1.0)),
    ):
        texture.set(1, 2, colour)
        assert texture.get(1, 2) == colour
        assert (texture.width, texture.height) == (2, 3)
        texture.set_dimensions(4, 5)
        assert (texture.width, texture.height) == (4, 5)


def test_lists_grow():
    for name, item in (
        ("vector_of_ints", 3), ("vector_of_gears", carla.GearPhysicsControl()),
        ("vector_of_wheels", carla.WheelPhysicsControl()),
        ("vector_of_vector2D", carla.Vector2D()), ("vector_of_transform", carla.Transform()),
        ("vector_of_wheels_telemetry", carla.WheelTelemetryData()),
    ):  # fmt: skip
        made = getattr(carla, name)()
        made.append(item)
        made.extend([item, item])
        assert len(made) == 3


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("TrafficLightState", {"Red": 0, "Yellow": 1, "Green": 2, "Off": 3, "Unknown": 4}),
        ("AttachmentType", {"Rigid": 0, "SpringArm": 1, "SpringArmGhost": 2}),
        ("ActorState", {"Invalid": 0, "Active": 1, "Dormant": 2}),
        ("CityObjectLabel", {"Buildings": 3, "TrafficLight": 7, "Pedestrians": 12, "Car": 14}),
        ("VehicleFailureState", {"NONE": 0, "Rollover": 1, "Engine": 2, "TirePuncture": 3}),
        ("VehicleWheelLocation", {"FL_Wheel": 0, "FR_Wheel": 1, "BL_Wheel": 2, "BR_Wheel": 3}),
        ("VehicleLightState", {"NONE": 0, "Position": 1, "LowBeam": 2, "Brake": 8}),
        ("ActorAttributeType", {"Bool": 1, "Int": 2, "Float": 3, "String": 4, "RGBColor": 5}),
        ("LightGroup", {"NONE": 0, "Vehicle": 1, "Street": 2, "Building": 3, "Other": 4}),
    ],
)  # fmt: skip
def test_constants_are_numbered_as_on_the_wire(name, numbers):
    assert {word: int(getattr(getattr(carla, name), word)) for word in numbers} == numbers
