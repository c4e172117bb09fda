"""An evaluation for those who read one."""

import pytest

from support.evaluations import ROUTES, car, folder, hit, made
from support.logs import event


@pytest.fixture
def evaluation(tmp_path):
    crossing = [car(t, 13.0 - 0.2 * (t - 40), -9.0 + 0.9 * (t - 40), yaw=1.57, speed=9.0)
                for t in range(30, 51)]  # fmt: skip
    town = {"town": "Dream02"}
    return folder(
        tmp_path,
        [
            made([hit(), event("red_light", 9.0)], crossing, policy="a", route=ROUTES[0], **town),
            made(policy="a", route=ROUTES[1], completion=40.0, **town),
            made(policy="b", route=ROUTES[0], **town),
            made([event("off_road", 3.0)], policy="b", route=ROUTES[1], **town,
                 columns={"lateral_m": -2.6}),
        ],
    )  # fmt: skip
