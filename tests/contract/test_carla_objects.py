"""`CarlaDriveObjects-v0`: tokens against the client's own actors and the bird's-eye picture."""

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("carla")
from dreamdrive.driving.objects import CLASS_NUMBER, OBJECT_INDEX
from dreamdrive.driving.palette import CLASS_INDEX, classify
from dreamdrive.envs.carla.env import CarlaDriveEnv
from dreamdrive.errors import ConfigError

COLOURS = {0: "green_light", 1: "red_light", 2: "red_light"}


@pytest.fixture(scope="module")
def env():
    with CarlaDriveEnv(num_vehicles=12, num_walkers=4, observation="bev+objects") as made:
        yield made


def of(observation, name):
    objects = observation["objects"][observation["object_mask"].astype(bool)]
    return objects[objects[:, 0] == CLASS_NUMBER[name]]


def frames(env, seed, decisions):
    observation, _ = env.reset(seed=seed)
    yield observation
    for _ in range(decisions):
        observation, _, terminated, truncated, _ = env.step(env.expert_action())
        yield observation
        if terminated or truncated:
            return


def by_the_client(env, pattern):
    """Returns x, y, velocity and half sizes of actors in the ego's frame, by CARLA's own maths."""
    ego = env.ego
    into = np.array(ego.get_transform().get_inverse_matrix())
    rows = []
    for actor in env.session.world.get_actors().filter(pattern):
        if actor.id == ego.id:
            continue
        at, speed, half = actor.get_location(), actor.get_velocity(), actor.bounding_box.extent
        x, y, _, _ = into @ [at.x, at.y, at.z, 1.0]
        vx, vy, _ = into[:3, :3] @ [speed.x, speed.y, speed.z]
        rows.append((x, -y, vx, -vy, half.x, half.y))
    return sorted(rows, key=lambda row: np.hypot(row[0], row[1]))


def test_tokens_are_the_clients_actors(env):
    columns = ["x", "y", "velocity_x", "velocity_y", "half_length", "half_width"]
    at, compared = [OBJECT_INDEX[name] for name in columns], 0
    for observation in frames(env, 3, 12):
        for name, pattern in (("vehicle", "vehicle.*"), ("walker", "walker.*")):
            told = of(observation, name)[:, at]
            near = [row for row in by_the_client(env, pattern) if np.hypot(*row[:2]) < 45.0]
            np.testing.assert_allclose(told[: len(near)], np.reshape(near, (-1, 6)), atol=2e-3)
            compared += len(near)
    assert compared > 20


def test_tokens_are_where_the_birds_eye_view_shows_them(env):
    found = dict.fromkeys(("vehicle", "walker", "traffic_light", "stop_sign", "route"), 0)
    for seed, decisions in ((9, 25), (10, 25), (11, 25), (13, 30), (16, 40), (19, 8)):
        for observation in frames(env, seed, decisions):
            image = classify(observation["image"])

            def shown(x, y, image=image):
                row, column = round(48 - x / 0.75), round(32 - y / 0.75)
                inside = 2 < row < 61 and 2 < column < 61
                return image[row - 1 : row + 2, column - 1 : column + 2] if inside else None

            for name in ("vehicle", "walker", "traffic_light", "stop_sign"):
                for row in of(observation, name):
                    seen = shown(row[1], row[2])
                    if seen is None or abs(row[1]) < 4.0:
                        continue
                    colour = name
                    if name == "traffic_light":
                        colour = COLOURS[int(row[OBJECT_INDEX["signal"]])]
                    if name == "stop_sign" and row[OBJECT_INDEX["signal"]] == 0.0:
                        continue
                    if name in ("vehicle", "walker") or not (seen == CLASS_INDEX["vehicle"]).any():
                        assert (seen == CLASS_INDEX[colour]).any(), (name, row)
                        found[name] += 1
            for x, y, _ in observation["route"][2:]:
                seen = shown(x, y)
                found["route"] += seen is not None and bool((seen == CLASS_INDEX["route"]).any())
    assert found["vehicle"] > 50
    assert found["walker"] > 5
    assert found["traffic_light"] > 5
    assert found["stop_sign"] > 5
    assert found["route"] > 500


def test_what_a_scenario_puts_on_the_road_is_an_obstacle(env):
    observation, info = env.reset(seed=2, options={"scenario": "ConstructionObstacleTwoWays"})
    seen = 0
    while not info["cause"] and not seen:
        observation, _, _, _, info = env.step(env.expert_action())
        seen = len(of(observation, "obstacle"))
    assert 0 < seen <= len(env.session.world.get_actors().filter("static.prop.*"))


def test_the_id_has_objects_and_no_picture():
    env = gym.make("dreamdrive:CarlaDriveObjects-v0", num_vehicles=1, render_mode="rgb_array")
    shapes = {name: space.shape for name, space in env.observation_space.spaces.items()}
    assert shapes == {"objects": (32, 9), "object_mask": (32,), "route": (20, 3), "state": (14,)}
    env.reset(seed=1)
    assert env.render().shape == (512, 512, 3)
    env.close()


def test_objects_change_nothing_of_the_drive(env):
    both = list(frames(env, 5, 20))
    with CarlaDriveEnv(num_vehicles=12, num_walkers=4) as plain:
        alone = list(frames(plain, 5, 20))
    for a, b in zip(both, alone, strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])
        np.testing.assert_array_equal(a["state"], b["state"])
    again = list(frames(env, 5, 20))
    for a, b in zip(both, again, strict=True):
        np.testing.assert_array_equal(a["objects"], b["objects"])


@pytest.mark.parametrize("observation", ["sonar", "bev+sonar", "", "bev+", ["bev", "sonar"]])
def test_what_is_not_there_is_refused(observation):
    with pytest.raises(ConfigError, match=r"no observation.*bev, camera, objects"):
        CarlaDriveEnv(observation=observation)
