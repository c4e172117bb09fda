import numpy as np
import pytest

from dreamdrive.envs.embedded.lights import (
    ALL_RED_S,
    GREEN,
    GREEN_S,
    RED,
    YELLOW,
    YELLOW_S,
    TrafficLights,
)
from dreamdrive.envs.embedded.towns import load_town

TOWN = load_town("Dream01")
PHASES = TOWN.phases[0]
TURN_S = GREEN_S + YELLOW_S + ALL_RED_S


def after(seconds, lights=None):
    lights = lights or TrafficLights(TOWN)
    for _ in range(round(seconds / 0.05)):
        lights.tick(0.05)
    return lights


@pytest.mark.parametrize(
    ("seconds", "phase", "colour"),
    [
        (0.0, 0, GREEN),
        (GREEN_S - 0.1, 0, GREEN),
        (GREEN_S + 0.1, 0, YELLOW),
        (GREEN_S + YELLOW_S - 0.1, 0, YELLOW),
        (GREEN_S + YELLOW_S + 0.1, 0, RED),
        (TURN_S + 0.1, 1, GREEN),
        (TURN_S + GREEN_S + 0.1, 1, YELLOW),
        (len(PHASES) * TURN_S + 0.1, 0, GREEN),
    ],
)
def test_a_junction_shows_its_phases_in_turn(seconds, phase, colour):
    lights = after(seconds)
    for number, members in enumerate(PHASES):
        shown = colour if number == phase else RED
        assert {int(lights.colour[i]) for i in members} == {shown}


def test_no_two_phases_are_ever_open_at_once():
    lights = TrafficLights(TOWN)
    for _ in range(round(3 * TURN_S / 0.05)):
        lights.tick(0.05)
        for junction in TOWN.phases:
            is_open = [any(lights.colour[i] != RED for i in phase) for phase in junction]
            assert sum(is_open) <= 1


def test_frozen_lights_stand_still_and_go_on_afterwards():
    lights = after(GREEN_S - 1.0)
    lights.frozen = True
    before = lights.colour.copy(), lights.elapsed_s.copy()
    after(30.0, lights)
    np.testing.assert_array_equal(lights.colour, before[0])
    np.testing.assert_array_equal(lights.elapsed_s, before[1])
    lights.frozen = False
    assert after(1.1, lights).colour[PHASES[0][0]] == YELLOW


def test_elapsed_time_counts_from_the_last_change():
    lights = after(GREEN_S + 1.0)
    assert lights.elapsed_s[PHASES[0][0]] == pytest.approx(1.0, abs=0.051)
    assert lights.elapsed_s[PHASES[1][0]] == pytest.approx(GREEN_S + 1.0, abs=0.051)


def test_a_set_green_time_holds_for_its_junction():
    lights = TrafficLights(TOWN)
    lights.green_s[list(PHASES[0])] = 3.0
    assert after(3.1, lights).colour[PHASES[0][0]] == YELLOW


def test_a_junction_can_start_again():
    lights = after(TURN_S + 1.0)
    lights.reset_group(PHASES[1][0])
    assert lights.colour[PHASES[0][0]] == GREEN
    assert lights.colour[PHASES[1][0]] == RED


def test_a_colour_that_is_set_lasts_until_the_junctions_next_change():
    lights = TrafficLights(TOWN)
    lights.set_colour(PHASES[1][0], GREEN)
    assert after(1.0, lights).colour[PHASES[1][0]] == GREEN
    assert after(GREEN_S, lights).colour[PHASES[1][0]] == RED
