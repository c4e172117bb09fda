"""`CarlaDrive-v0` through the real `carla` client against the embedded server."""

import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dreamdrive.driving.palette import CLASS_INDEX, classify
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.envs.carla.drivers import DRIVER_NAMES, make_driver
from dreamdrive.envs.carla.env import CarlaDriveEnv
from dreamdrive.envs.carla.ports import any_free_port
from dreamdrive.envs.carla.routes import random_route
from dreamdrive.envs.carla.scene import VEHICLE, WALKER
from dreamdrive.envs.registration import register_envs
from dreamdrive.errors import ActionError, ConfigError, ServerError

BRAKE = np.array([0.0, -1.0], np.float32)


@pytest.fixture(scope="module")
def env():
    with CarlaDriveEnv(num_vehicles=5, num_walkers=2, max_steps=400) as made:
        yield made


@pytest.fixture(scope="module")
def empty_env():
    with CarlaDriveEnv(num_vehicles=0, max_steps=900, start_speed_mps=(0.0, 0.0)) as made:
        yield made


def drive(env, seed, decisions, driver="expert"):
    """Returns observations, rewards and infos of a drive."""
    actor = make_driver(driver)
    actor.reset(np.random.default_rng(seed))
    observation, info = env.reset(seed=seed)
    observations, rewards, infos = [observation], [], [info]
    for _ in range(decisions):
        observation, reward, terminated, truncated, info = env.step(actor.act(env))
        observations.append(observation)
        rewards.append(reward)
        infos.append(info)
        if terminated or truncated:
            break
    return observations, rewards, infos


def test_gymnasiums_checker_is_content():
    register_envs()
    made = gym.make("CarlaDrive-v0", num_vehicles=2)
    try:
        check_env(made.unwrapped, skip_render_check=True)
    finally:
        made.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_fixes_the_whole_drive(env, seed):
    first, rewards, infos = drive(env, seed, 60)
    drive(env, 99, 5)
    again, rewards_again, infos_again = drive(env, seed, 60)
    assert rewards == rewards_again
    assert infos == infos_again
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a["state"], b["state"])
        np.testing.assert_array_equal(a["image"], b["image"])


def test_another_seed_is_another_drive(env):
    first, _, _ = drive(env, 1, 3)
    other, _, _ = drive(env, 2, 3)
    assert not np.array_equal(first[-1]["image"], other[-1]["image"])


def test_the_expert_finishes_an_empty_route(empty_env):
    _, rewards, infos = drive(empty_env, 5, 900)
    assert infos[-1]["cause"] == "route_finished"
    assert [e for info in infos for e in info["events"]] == []
    assert infos[-1]["progress_m"] == pytest.approx(infos[-1]["route_length_m"], abs=2.5)
    assert sum(rewards) == pytest.approx(infos[-1]["progress_m"] / 100.0, rel=0.25)


def test_positive_steer_turns_left(empty_env):
    for sign in (1.0, -1.0):
        empty_env.reset(seed=3)
        for _ in range(12):
            observation, *_ = empty_env.step(np.array([0.1 * sign, 0.7], np.float32))
        state = observation["state"]
        assert state[STATE_INDEX["yaw_rate"]] * sign > 0.05
        assert state[STATE_INDEX["lateral_offset"]] * sign > 0.0
        assert state[STATE_INDEX["heading_error"]] * sign > 0.0
        assert state[STATE_INDEX["speed"]] > 2.0


def test_leaving_the_road_terminates_with_its_cause(empty_env):
    empty_env.reset(seed=3)
    for _ in range(100):
        _, reward, terminated, _, info = empty_env.step(np.array([-0.3, 0.6], np.float32))
        if terminated:
            break
    assert info["cause"] in ("off_road", "collision_static", "route_deviation")
    assert reward == -1.0
    assert info["events"][-1]["cause"] == info["cause"]
    with pytest.raises(gym.error.ResetNeeded):
        empty_env.step(BRAKE)


def test_standing_makes_no_progress_and_costs_it(empty_env):
    empty_env.reset(seed=4)
    for _ in range(3):
        _, reward, _, _, info = empty_env.step(BRAKE)
    assert reward == 0.0
    assert info["cost"]["progress"] == pytest.approx(1.0, abs=0.01)
    assert info["cost"]["collision"] == 0.0


def test_blocked_and_time_limit_are_truncations():
    with CarlaDriveEnv(
        num_vehicles=0, max_steps=8, blocked_s=0.5, start_speed_mps=(0.0, 0.0)
    ) as made:
        made.reset(seed=1)
        for _ in range(8):
            _, _, terminated, truncated, info = made.step(BRAKE)
            if truncated:
                break
        assert info["cause"] == "blocked"
        assert not terminated
        made.reset(seed=1)
        for _ in range(8):
            _, _, terminated, truncated, info = made.step(np.array([0.0, 0.3], np.float32))
        assert (terminated, truncated, info["cause"]) == (False, True, "time_limit")


def test_running_into_a_vehicle_is_its_own_cause(env):
    causes = []
    for seed in range(12):
        _, rewards, infos = drive(env, 508 + seed, 300, "blind")
        causes.append(infos[-1]["cause"])
        if causes[-1] == "collision_vehicle":
            assert rewards[-1] == -1.0
            assert infos[-1]["cost"]["collision"] == 1.0
            assert infos[-1]["events"][0]["detail"].startswith("vehicle.")
            return
    pytest.fail(f"a driver who sees nobody hit nobody: {causes}")


def test_a_careless_driver_runs_lights_and_stop_signs(empty_env):
    lines, run = {"stop_sign", "red_light"}, set()
    for seed in range(12):
        _, rewards, infos = drive(empty_env, seed, 400, "careless")
        if infos[-1]["cause"] in lines:
            assert rewards[-1] == -1.0
            run.add(infos[-1]["cause"])
        if run == lines:
            return
    pytest.fail(f"twelve drives ran no other line than {sorted(run)}")


def test_infractions_may_be_counted_and_driven_on_from():
    with CarlaDriveEnv(num_vehicles=0, infractions_end_episode=False) as made:
        made.reset(seed=3)
        events = []
        for _ in range(60):
            _, _, terminated, truncated, info = made.step(np.array([-0.12, 0.5], np.float32))
            events += info["events"]
            if terminated or truncated:
                break
        assert events[0]["cause"] in ("off_road", "collision_static")
        assert info["outside_m"] > 0.0
        assert info["cause"] in ("", "route_deviation")


def test_the_image_shows_what_the_scene_holds(env):
    seen = 0
    for seed in (8, 9, 10):
        env.reset(seed=seed)
        for _ in range(25):
            observation, *_ = env.step(env.expert_action())
            scene = env.privileged()
            ego = scene.ego
            image = classify(observation["image"])
            assert image[48, 32] == CLASS_INDEX["ego"]
            for x, y, *_ in scene.boxes_of(VEHICLE):
                dx, dy = x - ego.x, y - ego.y
                ahead = dx * np.cos(ego.yaw_rad) + dy * np.sin(ego.yaw_rad)
                left = dy * np.cos(ego.yaw_rad) - dx * np.sin(ego.yaw_rad)
                row, column = round(48 - ahead / 0.75), round(32 - left / 0.75)
                if 2 < row < 61 and 2 < column < 61:
                    seen += 1
                    assert image[row, column] == CLASS_INDEX["vehicle"]
    assert seen > 0
    assert len(scene.boxes_of(WALKER)) == 2


def test_a_route_can_be_given(empty_env):
    empty_env.reset(seed=1)
    route = random_route(empty_env.session.map, 77)
    _, info = empty_env.reset(seed=1, options={"route": route})
    assert info["route"] == route.name
    assert empty_env.privileged().ego.x == pytest.approx(route.xy[0, 0], abs=0.2)
    assert empty_env.privileged().ego.y == pytest.approx(route.xy[0, 1], abs=0.2)


def test_another_town_can_be_opened_and_left(empty_env):
    _, info = empty_env.reset(seed=1, options={"town": "Dream02"})
    assert info["town"] == "Dream02"
    _, info = empty_env.reset(seed=1)
    assert info["town"] == "Dream01"
    with pytest.raises(ServerError, match="no town 'Atlantis'"):
        empty_env.session.open_town("Atlantis")


@pytest.mark.parametrize("name", DRIVER_NAMES)
def test_every_driver_keeps_to_the_action_space(env, name):
    actor = make_driver(name)
    actor.reset(np.random.default_rng(0))
    env.reset(seed=12)
    for _ in range(15):
        action = actor.act(env)
        assert env.action_space.contains(action)
        if any(env.step(action)[2:4]):
            break


@pytest.mark.parametrize(
    ("action", "words"),
    [([0.0], "shape"), ([np.nan, 0.0], "not finite"), ([0.0, 1.5], r"outside \[-1, 1\]")],
)
def test_a_broken_action_is_refused_and_the_drive_goes_on(empty_env, action, words):
    empty_env.reset(seed=1)
    with pytest.raises(ActionError, match=words):
        empty_env.step(np.array(action, np.float32))
    _, _, terminated, truncated, _ = empty_env.step(BRAKE)
    assert not terminated
    assert not truncated


def test_impossible_arguments_are_refused():
    with pytest.raises(ConfigError, match="no reward 'money'"):
        CarlaDriveEnv(reward="money")
    with pytest.raises(ConfigError, match="render mode"):
        CarlaDriveEnv(render_mode="film")


@pytest.mark.parametrize("reward", ["roach", "think2drive"])
def test_other_rewards_prefer_driving_to_standing(reward):
    with CarlaDriveEnv(num_vehicles=0, reward=reward, start_speed_mps=(0.0, 0.0)) as made:
        totals = {}
        for driver in ("expert", "standing"):
            _, rewards, infos = drive(made, 5, 80, driver)
            totals[driver] = sum(rewards)
            for value, info in zip(rewards, infos[1:], strict=True):
                assert value == pytest.approx(sum(info["reward_terms"].values()))
    assert totals["expert"] > totals["standing"]


def test_nothing_on_the_port_is_said_within_seconds():
    start = time.monotonic()
    with pytest.raises(ServerError, match=r"No CARLA server answers.*dreamdrive serve"):
        CarlaDriveEnv(port=any_free_port())
    assert time.monotonic() - start < 5.0


OLD_SERVER = """
import socket, sys, msgpack
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    unpacker = msgpack.Unpacker()
    while data := peer.recv(4096):
        unpacker.feed(data)
        for kind, number, method, _ in unpacker:
            peer.sendall(msgpack.packb([1, number, None, [[1, "0.9.15"]]]))
"""


def test_another_version_is_named():
    port = any_free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", OLD_SERVER, str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout.readline() == "ready\n"
        with pytest.raises(ServerError, match=r"CARLA 0\.9\.15.*0\.9\.16"):
            CarlaDriveEnv(port=port)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


KILLED_SERVER = """
import os, signal
import numpy as np
from dreamdrive.envs.carla.env import CarlaDriveEnv

brake = np.array([0.0, -1.0], np.float32)
with CarlaDriveEnv(num_vehicles=3, tick_deadline_s=2.0) as made:
    before, _ = made.reset(seed=1)
    pid = made.supervisor.pid
    made.step(made.expert_action())
    os.kill(pid, signal.SIGKILL)
    observation, reward, terminated, truncated, info = made.step(brake)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["cause"] == "sim_error"
    assert info["sim_error"]
    assert made.observation_space.contains(observation)
    after, info = made.reset(seed=1)
    assert made.supervisor.pid != pid
    assert info["sim_error"] is None
    np.testing.assert_array_equal(before["state"], after["state"])
    assert not any(made.step(brake)[2:4])
print("survived", flush=True)
# The client keeps threads of the dead server, which may not outlive this process.
os._exit(0)
"""


def test_a_killed_server_is_truncation_and_is_replaced():
    done = subprocess.run(
        [sys.executable, "-c", KILLED_SERVER],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["survived"]), done.stderr


def test_rendering_enlarges_the_view():
    with CarlaDriveEnv(num_vehicles=0, render_mode="rgb_array") as made:
        observation, _ = made.reset(seed=1)
        picture = made.render()
    assert picture.shape == (512, 512, 3)
    np.testing.assert_array_equal(picture[::8, ::8], observation["image"])


def test_a_stop_signs_line_is_drawn_until_the_ego_has_stood_before_it(empty_env):
    def ahead(observation):
        classes = classify(observation["image"][36:47, 28:37])
        return int((classes == CLASS_INDEX["stop_sign"]).sum())

    driver = make_driver("expert")
    seen = None
    for seed in range(20):
        driver.reset(np.random.default_rng(seed))
        observation, info = empty_env.reset(seed=seed, options={"town": "Dream06"})
        while not info["cause"] and seen is None:
            before = ahead(observation)
            observation, _, _, _, info = empty_env.step(driver.act(empty_env))
            if not empty_env.drive.binding_signs.all():
                seen = before, ahead(observation), float(observation["state"][0])
        if seen is not None:
            break
    assert seen is not None, "no route had a stop sign"
    before, after, speed = seen
    assert before >= 3
    assert after < before / 2
    assert abs(speed) < 0.1
