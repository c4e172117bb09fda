"""Background traffic that queues behind a scenario is taken away, and nobody else."""

import numpy as np

from dreamdrive.envs.carla.scenarios.stage import PATIENCE_S, Stage
from dreamdrive.envs.carla.scene import VEHICLE, EgoPose, Scene

LINE = np.array([[x, 0.0] for x in range(40)], float)


class Session:
    map = None

    def __init__(self):
        self.gone = []

    def destroy(self, actors):
        self.gone += actors


def stage(session, background):
    made = Stage.__new__(Stage)
    made.session, made.background, made._waiting_s = session, set(background), {}
    return made


def scene(rows):
    """Returns a scene of vehicles (id, x, y, speed)."""
    ego = EgoPose(
        x=0.0, y=0.0, yaw_rad=0.0, speed_mps=0.0, yaw_rate_radps=0.0, half_length_m=2.4,
        half_width_m=0.9,
    )  # fmt: skip
    return Scene(
        frame=0, time_s=0.0, ego=ego, ids=np.array([row[0] for row in rows]),
        kinds=np.full(len(rows), VEHICLE, np.int8),
        boxes=np.array([[x, y, 0.0, 2.0, 1.0] for _, x, y, _ in rows]),
        velocity=np.array([[speed, 0.0] for *_, speed in rows]), yaw_rate=np.zeros(len(rows)),
    )  # fmt: skip


def test_who_stands_on_the_way_goes_after_a_while():
    session = Session()
    made = stage(session, [1, 2, 3])
    # In the way; beside it; in the way and driving; in the way and part of the scenario.
    rows = [(1, 10.0, 0.5, 0.0), (2, 12.0, 4.0, 0.0), (3, 20.0, 0.0, 3.0), (4, 30.0, 0.0, 0.0)]
    for _ in range(3):
        made.free_way(scene(rows), LINE, PATIENCE_S / 4)
    assert session.gone == []
    made.free_way(scene(rows), LINE, PATIENCE_S / 4)
    assert session.gone == [1]
    assert made.background == {2, 3}


def test_a_short_stop_is_forgotten():
    session = Session()
    made = stage(session, [1])
    for speed in (0.0, 3.0, 0.0):
        made.free_way(scene([(1, 10.0, 0.0, speed)]), LINE, 0.6 * PATIENCE_S)
    assert session.gone == []
