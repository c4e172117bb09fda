import pytest

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.town_map import TownMap
from dreamdrive.envs.embedded.towns import load_town


@pytest.fixture(scope="session")
def carla_map():
    town = load_town("Dream01")
    return carla.Map("Carla/Maps/Dream01", town.xodr)


@pytest.fixture(scope="session")
def town_map(carla_map):
    return TownMap(None, carla_map)
