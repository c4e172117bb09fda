"""An evaluation for those who read one; episodes and a world model for those who train."""

import pytest

from support.evaluations import ROUTES, car, folder, hit, made
from support.logs import event
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model


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


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    return save_tiny_episodes(tmp_path_factory.mktemp("episodes"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "model"
    tiny_model(lively=False).save_pretrained(folder)
    return folder
