"""The connection's own memory of the town: it must be that of the session, whoever opened it."""

from types import SimpleNamespace

import numpy as np

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.connection import Connection
from dreamdrive.envs.carla.session import SessionConfig
from dreamdrive.envs.embedded.towns import load_town


def test_a_town_that_the_session_opened_by_itself_is_drawn_anew(carla_map):
    connection = Connection(SessionConfig(port=1), None, "Dream01")
    session = SimpleNamespace(world=None, map=carla_map, town="Dream01")
    connection._session = session
    first = connection.town_map
    assert connection.town_map is first
    session.map = carla.Map("Carla/Maps/Dream06", load_town("Dream06").xodr)
    assert connection.town_map.map is session.map
    assert not np.array_equal(connection.town_map.sign_lines, first.sign_lines)
