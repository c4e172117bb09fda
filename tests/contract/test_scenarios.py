"""Each scenario type is solved by the expert, and failed by who does not look or stands still."""

import dataclasses

import numpy as np
import pytest

from dreamdrive.envs.carla.drivers import make_driver
from dreamdrive.envs.carla.env import CarlaDriveEnv
from dreamdrive.envs.carla.scenarios.registry import MODULES, known, route_with
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.errors import ConfigError

QUICK = ("DynamicObjectCrossing", "HardBreakRoute")
BLIND_CAUSES = {
    "DynamicObjectCrossing": "collision_walker",
    "ParkingCrossingPedestrian": "collision_walker",
    "PedestrianCrossing": "collision_walker",
    "VehicleTurningRoutePedestrian": "collision_walker",
    "ConstructionObstacle": "collision_static",
    "ConstructionObstacleTwoWays": "collision_static",
    "YieldToEmergencyVehicle": "yield_emergency",
}
LENGTH_M = (80.0, 200.0)
OPEN_LOOP = ("ControlLoss",)
"""Nobody is met there: who repeats what was right without the scenario fails it. Slow and straight
ahead, one gets through on one of the three routes: it is straight, and the pushes cancel out."""


@pytest.fixture(scope="module")
def env():
    with CarlaDriveEnv(
        town="Dream02", num_vehicles=0, infractions_end_episode=False,
        start_speed_mps=(0.0, 0.0), blocked_s=30.0,
    ) as made:  # fmt: skip
        yield made


def drive(env, route, act, at_most=2000):
    """Returns the outcome of the route's only scenario, all infractions, and the actions."""
    _, info = env.reset(seed=1, options={"route": route})
    events, actions = [], []
    while not info["cause"] and len(actions) < at_most:
        action = act(env, len(actions))
        actions.append(action)
        _, _, _, _, info = env.step(action)
        events += [event["cause"] for event in info["events"]]
        over = info["scenarios"]
        if over:
            return over[0], events, actions
    return (info["scenarios"] or [{"result": "unreached"}])[0], events, actions


def driver(name):
    made = make_driver(name)
    made.reset(np.random.default_rng(0))
    return lambda env, _: made.act(env)


def standing(env, _):
    return np.array([0.0, -1.0], np.float32)


def straight(env, _):
    return np.array([0.0, 0.35], np.float32)


def prove(env, kind, seed):
    """Holds one type to its promise on one route.

    Returns what failed the blind driver, and whether driving straight failed.
    """
    length_m = LENGTH_M if kind in QUICK else (150.0, 400.0)
    route = route_with(env.session.map, seed, kind, length_m=length_m)
    outcome, events, _ = drive(env, route, driver("expert"))
    assert (outcome["type"], outcome["result"], events) == (kind, "solved", [])
    assert outcome["start_s"] < outcome["end_s"]
    fails = {}
    for idle in (standing, straight):
        outcome, events, _ = drive(env, route, idle, 300)
        fails[idle] = outcome["result"] != "solved" or bool(events)
    assert fails[standing]
    if kind in OPEN_LOOP:
        actions = actions_of(env, dataclasses.replace(route, scenarios=()))
        outcome, events, _ = drive(env, route, lambda _, i: actions[min(i, len(actions) - 1)])
        return outcome["cause"] or (events or [""])[0], fails[straight]
    outcome, _, _ = drive(env, route, driver("blind"))
    return outcome["cause"] if outcome["result"] == "failed" else "", fails[straight]


def actions_of(env, route):
    """Returns the expert's actions on a route without scenarios."""
    _, info = env.reset(seed=1, options={"route": route})
    act, actions = driver("expert"), []
    while not info["cause"]:
        actions.append(act(env, 0))
        _, _, _, _, info = env.step(actions[-1])
    return actions


@pytest.mark.parametrize("kind", QUICK)
def test_the_expert_solves_what_a_blind_driver_fails(env, kind):
    assert prove(env, kind, 0) == (BLIND_CAUSES.get(kind, "collision_vehicle"), True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in MODULES if kind not in QUICK])
def test_each_type_is_solvable_and_can_be_failed(env, kind):
    """Of three routes, the expert solves all, and who does not look fails at least one."""
    failed, straight_fails = zip(*(prove(env, kind, seed) for seed in range(3)), strict=True)
    assert sum(straight_fails) >= (2 if kind in OPEN_LOOP else 3), straight_fails
    expected = "" if kind in OPEN_LOOP else BLIND_CAUSES.get(kind, "collision_vehicle")
    assert any(cause == expected if expected else cause for cause in failed), failed


def test_a_seed_fixes_a_scenario(env):
    route = route_with(env.session.map, 0, "HardBreakRoute", length_m=LENGTH_M)
    logs = []
    for _ in range(2):
        act, rows = driver("expert"), []
        env.reset(seed=5, options={"route": route})
        for _ in range(60):
            env.step(act(env, 0))
            rows.append(env.privileged().boxes.copy())
        logs.append(rows)
    for a, b in zip(*logs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(len(row) for row in logs[0])


def test_reset_places_a_scenario_by_name(env):
    _, info = env.reset(seed=3, options={"scenario": "HardBreakRoute"})
    assert [spec.type for spec in env.route.scenarios] == ["HardBreakRoute"]
    assert info["scenarios"] == []
    with pytest.raises(ConfigError, match=r"no scenario type 'Nonsense'.*HardBreakRoute"):
        env.reset(seed=3, options={"scenario": "Nonsense"})


def test_an_unknown_type_is_refused_or_left_out():
    specs = [
        ScenarioSpec(name=n, type=t, x=0.0, y=0.0) for n, t in (("a", "Odd"), ("b", "Accident"))
    ]
    with pytest.raises(ConfigError, match="no scenario type 'Odd'"):
        known(specs)
    assert [spec.name for spec in known(specs, skip_unknown=True)] == ["b"]
