"""The actors that can be spawned: CARLA's names, with the dimensions of the real vehicles."""

from dataclasses import dataclass
from typing import Any

from dreamdrive.envs.embedded.render.attributes import RENDERED, SWITCHES, WHOLE_NUMBERS, WORDS

BOOL, INT, FLOAT, STRING, COLOUR = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class VehicleModel:
    """Size and drive of a vehicle, in metres, kilograms and watts."""

    half_length: float
    half_width: float
    half_height: float
    wheelbase: float
    mass_kg: float
    power_w: float
    max_steer_deg: float = 70.0
    wheels: int = 4
    base_type: str = "car"
    tag: int = 14


VEHICLES: dict[str, VehicleModel] = {
    "vehicle.audi.a2": VehicleModel(1.85, 0.89, 0.77, 2.41, 895, 55e3),
    "vehicle.audi.tt": VehicleModel(2.09, 1.00, 0.69, 2.47, 1255, 132e3),
    "vehicle.bmw.grandtourer": VehicleModel(2.30, 1.12, 0.83, 2.78, 1490, 100e3),
    "vehicle.chevrolet.impala": VehicleModel(2.68, 1.02, 0.71, 2.84, 1700, 147e3),
    "vehicle.citroen.c3": VehicleModel(1.99, 0.93, 0.81, 2.54, 1050, 60e3),
    "vehicle.dodge.charger_2020": VehicleModel(2.50, 1.03, 0.79, 3.05, 1970, 218e3),
    "vehicle.ford.mustang": VehicleModel(2.36, 0.95, 0.65, 2.74, 1740, 230e3),
    "vehicle.jeep.wrangler_rubicon": VehicleModel(1.93, 0.95, 0.94, 2.46, 1860, 147e3),
    "vehicle.lincoln.mkz_2017": VehicleModel(2.45, 1.06, 0.76, 2.85, 1690, 180e3),
    "vehicle.lincoln.mkz_2020": VehicleModel(2.45, 0.92, 0.74, 2.86, 1696, 180e3),
    "vehicle.mercedes.coupe": VehicleModel(2.51, 1.08, 0.82, 2.87, 1735, 180e3),
    "vehicle.mini.cooper_s": VehicleModel(1.90, 0.99, 0.74, 2.47, 1240, 128e3),
    "vehicle.nissan.micra": VehicleModel(1.82, 0.92, 0.77, 2.43, 1000, 59e3),
    "vehicle.nissan.patrol": VehicleModel(2.30, 0.97, 0.93, 2.97, 2750, 210e3),
    "vehicle.seat.leon": VehicleModel(2.10, 0.91, 0.74, 2.58, 1350, 96e3),
    "vehicle.tesla.model3": VehicleModel(2.40, 1.08, 0.74, 2.88, 1845, 211e3),
    "vehicle.toyota.prius": VehicleModel(2.26, 1.00, 0.76, 2.70, 1400, 90e3),
    "vehicle.volkswagen.t2": VehicleModel(2.24, 1.03, 1.02, 2.40, 1300, 50e3, base_type="van"),
    "vehicle.mercedes.sprinter": VehicleModel(
        2.96, 0.99, 1.28, 3.67, 2100, 120e3, base_type="van", tag=15
    ),
    "vehicle.carlamotors.carlacola": VehicleModel(
        2.60, 1.31, 1.24, 3.40, 5500, 150e3, base_type="truck", tag=15
    ),
    "vehicle.mitsubishi.fusorosa": VehicleModel(
        5.14, 1.97, 2.13, 5.30, 7000, 129e3, 50.0, base_type="bus", tag=16
    ),
}

COLOURS = (
    "120,120,130",
    "17,19,20",
    "245,245,245",
    "150,12,18",
    "20,49,102",
    "80,84,88",
    "186,170,140",
    "22,62,46",
)
"""Paints that a vehicle's blueprint recommends, its own first; others may be asked for."""

WALKERS: tuple[str, ...] = tuple(f"walker.pedestrian.{i:04d}" for i in range(1, 17))
WALKER_EXTENT = (0.19, 0.19, 0.93)
WALKER_MASS_KG = 75.0
PROPS: dict[str, tuple[float, float, float]] = {
    "static.prop.constructioncone": (0.17, 0.17, 0.29),
    "static.prop.dirtdebris01": (1.4, 1.0, 0.03),
    "static.prop.dirtdebris02": (1.0, 0.8, 0.03),
    "static.prop.dirtdebris03": (0.8, 0.8, 0.03),
    "static.prop.trafficwarning": (1.4, 0.8, 1.7),
    "static.prop.vendingmachine": (0.40, 0.46, 0.95),
    "static.prop.warningaccident": (0.45, 0.10, 0.55),
    "static.prop.warningconstruction": (0.45, 0.10, 0.55),
    "static.prop.streetbarrier": (0.6, 0.2, 0.6),
    "static.prop.trafficcone01": (0.25, 0.25, 0.45),
    "static.prop.container": (1.0, 0.6, 0.7),
}
FLAT_M = 0.05
"""Half the height up to which a prop lies on the road: wheels roll over it."""
SENSORS: dict[str, dict[str, str]] = {
    "sensor.other.collision": {},
    "sensor.other.lane_invasion": {},
    "sensor.other.gnss": {
        f"noise_{axis}_{kind}": "0.0"
        for axis in ("alt", "lat", "lon")
        for kind in ("bias", "stddev")
    }
    | {"noise_seed": "0"},
    "sensor.other.imu": {
        f"noise_{kind}_{axis}": "0.0"
        for kind in ("accel_stddev", "gyro_stddev", "gyro_bias")
        for axis in "xyz"
    }
    | {"noise_seed": "0"},
}


def _attribute(
    name: str, kind: int, value: str, *, choices: tuple[str, ...] = (), modifiable: bool = True
) -> list[Any]:
    """Returns an attribute; as with CARLA, its own value is recommended where no others are."""
    return [name, kind, value, list(choices or (value,)), modifiable, False]


def _kind(name: str) -> int:
    """Returns the type of an attribute of a sensor that looks at geometry."""
    if name in WORDS:
        return STRING
    return INT if name in WHOLE_NUMBERS else BOOL if name in SWITCHES else FLOAT


def definitions() -> list[list[Any]]:
    """Returns all actor definitions as the client reads them: [uid, id, tags, attributes]."""
    found: list[tuple[str, list[list[Any]]]] = []
    for name, model in VEHICLES.items():
        found.append(
            (
                name,
                [
                    _attribute("number_of_wheels", INT, str(model.wheels), modifiable=False),
                    _attribute("base_type", STRING, model.base_type, modifiable=False),
                    _attribute("special_type", STRING, "", modifiable=False),
                    _attribute("generation", INT, "2", modifiable=False),
                    _attribute("has_lights", BOOL, "true", modifiable=False),
                    _attribute("has_dynamic_doors", BOOL, "false", modifiable=False),
                    _attribute("object_type", STRING, "", modifiable=False),
                    _attribute("sticky_control", BOOL, "true"),
                    _attribute("role_name", STRING, "autopilot"),
                    _attribute("color", COLOUR, COLOURS[0], choices=COLOURS),
                ],
            )
        )
    for name in WALKERS:
        found.append(
            (
                name,
                [
                    _attribute("gender", STRING, "male", modifiable=False),
                    _attribute("age", STRING, "adult", modifiable=False),
                    _attribute("generation", INT, "2", modifiable=False),
                    _attribute("speed", FLOAT, "1.4", choices=("0.0", "1.4", "2.8")),
                    _attribute("is_invincible", BOOL, "true"),
                    _attribute("role_name", STRING, "pedestrian"),
                ],
            )
        )
    found.append(("controller.ai.walker", [_attribute("role_name", STRING, "")]))
    for name in PROPS:
        found.append((name, [_attribute("role_name", STRING, "prop")]))
    for name, noise in SENSORS.items():
        found.append(
            (
                name,
                [
                    _attribute("sensor_tick", FLOAT, "0.0"),
                    _attribute("role_name", STRING, "front"),
                    *(_attribute(key, _kind(key), value) for key, value in noise.items()),
                ],
            )
        )
    for name, values in RENDERED.items():
        found.append(
            (
                name,
                [
                    _attribute("sensor_tick", FLOAT, "0.0"),
                    _attribute("role_name", STRING, "front"),
                    *(_attribute(key, _kind(key), value) for key, value in values.items()),
                ],
            )
        )
    return [
        [uid, name, ",".join(name.split(".")), attributes]
        for uid, (name, attributes) in enumerate(found, start=1)
    ]
