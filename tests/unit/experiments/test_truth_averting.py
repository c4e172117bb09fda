"""What braking averts: on a toy road with a wall, and by worlds that know it or get it wrong."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from dreamdrive.driving.actions import ACCELERATION
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.experiments.truth_averting import (
    AFTER,
    LEADS,
    averting_truth,
    perils_of,
)
from dreamdrive.experiments.truth_measures import MeasureConfig
from support.point_mass import PointMassWorld

CONFIG = MeasureConfig(context=4)
ROOM = 9
"""Decisions that a brake takes to stop the toy's vehicle."""


class Road(gym.Env):
    """A wall after some decisions; a brake of `ROOM` decisions, from before then on, stops."""

    def __init__(self, cause: str = "collision_vehicle", steps: int = 40) -> None:
        self.cause, self.wall = cause, steps

    def reset(self, *, seed=None, options=None):
        self.steps = self.braked = 0
        self.has_stopped = False
        return self._seen(), {"setup": {"seed": seed if options is None else options["seed"]}}

    def step(self, action):
        self.steps += 1
        self.braked = self.braked + 1 if action[ACCELERATION] < -0.5 else 0
        self.has_stopped |= self.braked >= ROOM
        ended = self.steps >= self.wall and not self.has_stopped
        return self._seen(), 0.0, ended, False, {"cause": self.cause if ended else ""}

    def _seen(self):
        state = np.zeros(14, np.float32)
        state[STATE_INDEX["speed"]] = 8.0
        return {"image": np.full((64, 64, 3), self.steps, np.uint8), "state": state}


class KnowingWorld(PointMassWorld):
    """Its vehicle collides within `AFTER` decisions unless it brakes, or only if it does."""

    def __init__(self, *, fears_the_brake: bool) -> None:
        super().__init__()
        self.fears_the_brake = fears_the_brake

    def imagine_step(self, state, action_BA, **how):
        state, seen = super().imagine_step(state, action_BA, **how)
        brakes = action_BA[:, ACCELERATION] < -0.5
        ends = torch.zeros_like(seen.termination_BC)
        ends[:, 0] = torch.where(brakes == self.fears_the_brake, 0.2, 0.0)
        return state, seen._replace(termination_BC=ends)


def perils(road):
    throttle = np.array([0.0, 0.5], np.float32)
    return perils_of(road, lambda: throttle, seed=3, context=4)


def test_both_ways_part_before_the_collision_and_the_brake_is_really_driven() -> None:
    found = perils(Road())
    assert [(peril.lead, peril.brakes) for peril in found] == [
        (lead, brakes) for lead in LEADS for brakes in (False, True)
    ]
    for peril in found:
        assert peril.way.image.shape == (4, 64, 64, 3)
        assert peril.way.image[-1, 0, 0, 0] == 40 - peril.lead
        assert peril.way.taken.shape == (AFTER, 2)
        assert (peril.way.taken[:, ACCELERATION] == (-1.0 if peril.brakes else 0.5)).all()
        assert bool(peril.way.cause) == (not peril.brakes or peril.lead < ROOM)


def test_other_ends_and_early_ones_are_left_out() -> None:
    assert perils(Road(cause="red_light")) == []
    assert perils(Road(steps=max(LEADS) + 3)) == []


@pytest.mark.parametrize("fears_the_brake", [False, True])
def test_a_world_that_takes_the_brake_for_the_cause_is_found_out(fears_the_brake) -> None:
    world = KnowingWorld(fears_the_brake=fears_the_brake)
    measures = averting_truth(world, perils(Road()), CONFIG)
    assert measures["averting_collisions"] == 1.0
    for lead in LEADS:
        assert measures[f"averting_braked_real_{lead}"] == float(lead < ROOM)
        assert measures[f"averting_driven_real_{lead}"] == 1.0
        more, less = (
            measures[f"averting_{way}_{lead}"]
            for way in (("braked", "driven") if fears_the_brake else ("driven", "braked"))
        )
        assert more == pytest.approx(1.0 - 0.8**AFTER)
        assert less == 0.0
    # Half of the brakes come too late, whatever the world says of them.
    assert measures["averting_error"] == pytest.approx(0.75 if fears_the_brake else 0.25, abs=0.02)
    assert measures["averting_error_kind"] == 0.0


def test_without_a_collision_there_is_nothing_to_say() -> None:
    assert averting_truth(PointMassWorld(), [], CONFIG) == {"averting_collisions": 0.0}


def test_a_road_that_does_not_restart_exactly_is_told() -> None:
    class Forgetful(Road):
        def reset(self, *, seed=None, options=None):
            self.wall = 40 if options is None else 10_000
            return super().reset(seed=seed, options=options)

    measures = averting_truth(KnowingWorld(fears_the_brake=False), perils(Forgetful()), CONFIG)
    assert all(measures[f"averting_driven_real_{lead}"] == 0.0 for lead in LEADS)
