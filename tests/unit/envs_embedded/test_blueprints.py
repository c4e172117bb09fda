import numpy as np
import pytest

from dreamdrive.envs.embedded.blueprints import VEHICLES, definitions
from dreamdrive.envs.embedded.render.mesh import Tag
from dreamdrive.envs.embedded.render.models import model_of
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.world import World

TWO_WHEELERS = [name for name, model in VEHICLES.items() if model.wheels == 2]


def attributes_of(name):
    (found,) = [row[3] for row in definitions() if row[1] == name]
    return {attribute[0]: attribute[2] for attribute in found}


def test_kinds_and_counts_are_those_of_carla():
    counts = {}
    for name in VEHICLES:
        kind = attributes_of(name)["base_type"]
        counts[kind] = counts.get(kind, 0) + 1
    assert counts == {"car": 25, "van": 4, "truck": 4, "bus": 1, "motorcycle": 4, "bicycle": 3}
    second = [name for name in VEHICLES if attributes_of(name)["generation"] == "2"]
    assert len(second) == 14


@pytest.mark.parametrize(
    ("name", "wheels", "special", "size"),
    [
        ("vehicle.ford.crown", "4", "taxi", (5.37, 1.80, 1.57)),
        ("vehicle.carlamotors.firetruck", "4", "emergency", (8.47, 2.89, 3.83)),
        ("vehicle.carlamotors.european_hgv", "6", "", (7.94, 2.89, 3.46)),
        ("vehicle.micro.microlino", "4", "electric", (2.21, 1.48, 1.38)),
        ("vehicle.gazelle.omafiets", "2", "", (1.84, 0.66, 1.78)),
        ("vehicle.kawasaki.ninja", "2", "", (2.04, 0.80, 1.52)),
    ],
)
def test_sizes_are_those_that_carla_tells(name, wheels, special, size):
    told, model = attributes_of(name), VEHICLES[name]
    assert (told["number_of_wheels"], told["special_type"]) == (wheels, special)
    box = [2.0 * half for half in (model.half_length, model.half_width, model.half_height)]
    np.testing.assert_allclose(box, size, atol=0.02)


@pytest.mark.parametrize("name", VEHICLES)
def test_models_fill_their_boxes_and_do_not_leave_them(name):
    model, points = VEHICLES[name], model_of(name).points.reshape(-1, 3)
    low, high = points.min(0), points.max(0)
    half = np.array([model.half_length, model.half_width, model.half_height])
    middle = np.array([0.0, 0.0, model.half_height])
    assert (low >= middle - half - 0.03).all()
    assert (high <= middle + half + 0.03).all()
    assert (high - low >= 2.0 * half * 0.9).all()


@pytest.mark.parametrize("name", TWO_WHEELERS)
def test_two_wheelers_are_seen_as_such_with_a_rider(name):
    mesh = model_of(name)
    own = Tag.BICYCLE if VEHICLES[name].base_type == "bicycle" else Tag.MOTORCYCLE
    assert set(mesh.tag.tolist()) == {own, Tag.RIDER}
    assert VEHICLES[name].tag == own
    rider = mesh.points[mesh.tag == Tag.RIDER]
    assert rider[..., 2].max() > mesh.points[mesh.tag == own][..., 2].max()


@pytest.mark.parametrize("name", TWO_WHEELERS)
def test_two_wheelers_drive_and_turn(name):
    world = World(load_town("Dream01"))
    world.spawn(name, {}, *world.town.spawn_points[0])
    cars = world.vehicles
    cars.throttle[0], cars.steer[0] = 1.0, 0.1
    for _ in range(60):
        world.tick(0.05)
    speed = float(np.hypot(*cars.velocity[0]))
    assert 3.0 < speed < 15.0
    assert cars.yaw_rate[0] > 0.1
