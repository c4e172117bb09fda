"""The actors that can be spawned: CARLA 0.9.16's names, with the boxes that its server gives them.

CARLA publishes neither wheelbase nor mass nor power: those here are of the real vehicles that its
models resemble, and estimates where there is none. Two-wheelers carry a rider of 75 kg, who is part
of their box.
"""

from dataclasses import dataclass
from typing import Any

from dreamdrive.envs.embedded.render.attributes import RENDERED, SWITCHES, WHOLE_NUMBERS, WORDS

BOOL, INT, FLOAT, STRING, COLOUR = 1, 2, 3, 4, 5
DOORS = 4
"""Doors of a vehicle: front left, front right, rear left, rear right."""


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
    special_type: str = ""
    generation: int = 1

    @property
    def has_doors(self) -> bool:
        """Whether its doors open: those of the newer cars and vans do."""
        return self.generation == 2 and self.base_type in ("car", "van")


VEHICLES: dict[str, VehicleModel] = {
    "vehicle.audi.a2": VehicleModel(1.85, 0.89, 0.77, 2.41, 895, 55e3),
    "vehicle.audi.tt": VehicleModel(2.09, 1.00, 0.69, 2.47, 1255, 132e3),
    "vehicle.bmw.grandtourer": VehicleModel(2.30, 1.12, 0.83, 2.78, 1490, 100e3),
    "vehicle.chevrolet.impala": VehicleModel(2.68, 1.02, 0.71, 2.84, 1700, 147e3),
    "vehicle.citroen.c3": VehicleModel(1.99, 0.93, 0.81, 2.54, 1050, 60e3),
    "vehicle.dodge.charger_2020": VehicleModel(
        2.50, 1.03, 0.79, 3.05, 1970, 218e3, generation=2
    ),
    "vehicle.ford.mustang": VehicleModel(2.36, 0.95, 0.65, 2.74, 1740, 230e3),
    "vehicle.jeep.wrangler_rubicon": VehicleModel(1.93, 0.95, 0.94, 2.46, 1860, 147e3),
    "vehicle.lincoln.mkz_2017": VehicleModel(2.45, 1.06, 0.76, 2.85, 1690, 180e3),
    "vehicle.lincoln.mkz_2020": VehicleModel(
        2.45, 0.92, 0.74, 2.86, 1696, 180e3, generation=2
    ),
    "vehicle.mercedes.coupe": VehicleModel(2.51, 1.08, 0.82, 2.87, 1735, 180e3),
    "vehicle.mini.cooper_s": VehicleModel(1.90, 0.99, 0.74, 2.47, 1240, 128e3),
    "vehicle.nissan.micra": VehicleModel(1.82, 0.92, 0.77, 2.43, 1000, 59e3),
    "vehicle.nissan.patrol": VehicleModel(2.30, 0.97, 0.93, 2.97, 2750, 210e3),
    "vehicle.seat.leon": VehicleModel(2.10, 0.91, 0.74, 2.58, 1350, 96e3),
    "vehicle.tesla.model3": VehicleModel(
        2.40, 1.08, 0.74, 2.88, 1845, 211e3, special_type="electric"
    ),
    "vehicle.toyota.prius": VehicleModel(2.26, 1.00, 0.76, 2.70, 1400, 90e3),
    "vehicle.volkswagen.t2": VehicleModel(2.24, 1.03, 1.02, 2.40, 1300, 50e3, base_type="van"),
    "vehicle.mercedes.sprinter": VehicleModel(
        2.96, 0.99, 1.28, 3.67, 2100, 120e3, base_type="van", tag=15, generation=2
    ),
    "vehicle.carlamotors.carlacola": VehicleModel(
        2.60, 1.31, 1.24, 3.40, 5500, 150e3, base_type="truck", tag=15
    ),
    "vehicle.mitsubishi.fusorosa": VehicleModel(
        5.14, 1.97, 2.13, 5.30, 7000, 129e3, 50.0, base_type="bus", tag=16, generation=2
    ),
    "vehicle.audi.etron": VehicleModel(
        2.43, 1.02, 0.82, 2.93, 2490, 265e3, special_type="electric"
    ),
    "vehicle.dodge.charger_police": VehicleModel(
        2.49, 1.02, 0.77, 3.05, 1970, 218e3, special_type="emergency"
    ),
    "vehicle.dodge.charger_police_2020": VehicleModel(
        2.62, 0.96, 0.82, 3.05, 1970, 218e3, special_type="emergency", generation=2
    ),
    "vehicle.ford.crown": VehicleModel(
        2.68, 0.90, 0.78, 2.91, 1830, 178e3, special_type="taxi", generation=2
    ),
    "vehicle.mercedes.coupe_2020": VehicleModel(
        2.34, 0.90, 0.72, 2.84, 1660, 180e3, generation=2
    ),
    "vehicle.micro.microlino": VehicleModel(
        1.10, 0.74, 0.69, 1.57, 535, 12.5e3, special_type="electric"
    ),
    "vehicle.mini.cooper_s_2021": VehicleModel(
        2.28, 1.05, 0.88, 2.67, 1365, 141e3, generation=2
    ),
    "vehicle.nissan.patrol_2021": VehicleModel(
        2.78, 1.08, 1.02, 3.08, 2750, 298e3, generation=2
    ),
    "vehicle.volkswagen.t2_2021": VehicleModel(
        2.22, 0.88, 0.99, 2.40, 1300, 50e3, base_type="van", generation=2
    ),
    "vehicle.ford.ambulance": VehicleModel(
        3.18, 1.18, 1.22, 3.75, 4500, 180e3, base_type="van", tag=15, special_type="emergency",
        generation=2,
    ),
    "vehicle.tesla.cybertruck": VehicleModel(
        3.14, 1.20, 1.05, 3.81, 2970, 447e3, base_type="truck", tag=15, special_type="electric",
        generation=2,
    ),
    "vehicle.carlamotors.european_hgv": VehicleModel(
        3.97, 1.44, 1.73, 3.80, 9000, 350e3, 50.0, wheels=6, base_type="truck", tag=15, generation=2
    ),
    "vehicle.carlamotors.firetruck": VehicleModel(
        4.24, 1.45, 1.92, 4.60, 14000, 280e3, 50.0, base_type="truck", tag=15,
        special_type="emergency", generation=2,
    ),
    "vehicle.harley-davidson.low_rider": VehicleModel(
        1.18, 0.38, 0.82, 1.63, 375, 60e3, wheels=2, base_type="motorcycle", tag=18
    ),
    "vehicle.kawasaki.ninja": VehicleModel(
        1.02, 0.40, 0.76, 1.41, 265, 90e3, wheels=2, base_type="motorcycle", tag=18
    ),
    "vehicle.vespa.zx125": VehicleModel(
        0.91, 0.44, 0.80, 1.28, 190, 7e3, wheels=2, base_type="motorcycle", tag=18
    ),
    "vehicle.yamaha.yzf": VehicleModel(
        1.10, 0.44, 0.76, 1.38, 275, 140e3, wheels=2, base_type="motorcycle", tag=18
    ),
    "vehicle.bh.crossbike": VehicleModel(
        0.76, 0.44, 0.80, 1.05, 90, 350, wheels=2, base_type="bicycle", tag=19
    ),
    "vehicle.diamondback.century": VehicleModel(
        0.83, 0.29, 0.81, 1.00, 85, 400, wheels=2, base_type="bicycle", tag=19
    ),
    "vehicle.gazelle.omafiets": VehicleModel(
        0.92, 0.33, 0.89, 1.15, 95, 250, wheels=2, base_type="bicycle", tag=19
    ),
}  # fmt: skip

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
FRICTION_TRIGGER, EXTENTS = "static.trigger.friction", ("extent_x", "extent_y", "extent_z")
"""Areas in which tyres have another friction, and the attributes that are their half sizes."""
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
                    _attribute("special_type", STRING, model.special_type, modifiable=False),
                    _attribute("generation", INT, str(model.generation), modifiable=False),
                    _attribute("has_lights", BOOL, "true", modifiable=False),
                    _attribute(
                        "has_dynamic_doors", BOOL, str(model.has_doors).lower(), modifiable=False
                    ),
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
    area = [_attribute(name, FLOAT, "1.0") for name in EXTENTS]
    found.append(
        (
            FRICTION_TRIGGER,
            [
                _attribute("role_name", STRING, "trigger"),
                _attribute("friction", FLOAT, "3.5"),
                *area,
            ],
        )
    )
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
