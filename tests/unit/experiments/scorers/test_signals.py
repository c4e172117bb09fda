import numpy as np
import pytest

from dreamdrive.driving.comfort import COMFORT_BOUNDS
from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.event_log import log_of_result
from dreamdrive.experiments.scorers.registry import find_scorer
from dreamdrive.experiments.scorers.signals import comfort_signals, savitzky_golay
from support.drives import drive
from support.logs import log, ticks

COMFORT = find_scorer("nuplan-comfort")
TIME_S = np.arange(200) * 0.1


def test_the_published_weights():
    impulse = np.zeros(21)
    impulse[10] = 35.0
    np.testing.assert_allclose(
        savitzky_golay(impulse, 5)[8:13], [-3.0, 12.0, 17.0, 12.0, -3.0], atol=1e-9
    )
    impulse[10] = 10.0
    slopes = savitzky_golay(impulse, 5, derivative=1)[8:13]
    np.testing.assert_allclose(slopes, [2.0, 1.0, 0.0, -1.0, -2.0], atol=1e-9)


@pytest.mark.parametrize("window", [5, 8, 15, 99])
def test_polynomials_come_back_at_the_ends_too(window):
    x = np.arange(30) * 0.1
    y = 2.0 - 3.0 * x + 0.5 * x**2
    np.testing.assert_allclose(savitzky_golay(y, window), y, atol=1e-9)
    np.testing.assert_allclose(
        savitzky_golay(y, window, derivative=1, step=0.1), x - 3.0, atol=1e-8
    )
    np.testing.assert_allclose(savitzky_golay(y, window, 3, derivative=2, step=0.1), 1.0, atol=1e-6)


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="too few"):
        savitzky_golay(np.zeros(2), 5)


def test_six_signals_of_a_bend_with_growing_acceleration():
    yaw = np.angle(np.exp(1j * (0.2 * TIME_S + 0.05 * TIME_S**2)))
    made = log([], ticks(200, yaw_rad=yaw, acceleration_ahead_mps2=0.1 * TIME_S))
    signals = comfort_signals(made, "x")
    np.testing.assert_allclose(signals[:, 0], 0.1 * TIME_S, atol=1e-9)
    np.testing.assert_allclose(signals[:, 1], 0.0, atol=1e-9)
    np.testing.assert_allclose(signals[:, 2], 0.2 + 0.1 * TIME_S, atol=1e-6)
    np.testing.assert_allclose(signals[:, 3], 0.1, atol=1e-5)
    np.testing.assert_allclose(signals[:, 4:], 0.1, atol=1e-8)


def test_derivatives_span_fifteen_ticks_and_accelerations_eight():
    impulse = np.zeros(200)
    impulse[100] = 2.8
    signals = comfort_signals(log([], ticks(200, yaw_rad=impulse)), "x")
    slopes = 2.8 * np.arange(7, -8, -1) / 280.0 / 0.1
    np.testing.assert_allclose(signals[93:108, 2], slopes, atol=1e-9)
    np.testing.assert_allclose(signals[[92, 108], 2], 0.0, atol=1e-9)
    smoothed = comfort_signals(log([], ticks(200, acceleration_ahead_mps2=impulse)), "x")[:, 0]
    assert np.flatnonzero(np.abs(smoothed) > 1e-9).tolist() == list(range(97, 105))


def test_one_moment_of_discomfort_spoils_a_drive():
    hard = np.zeros(200)
    hard[100] = -60.0
    scored = COMFORT.score(log([], ticks(200, acceleration_ahead_mps2=hard)))
    assert scored.value == 0.0
    assert 80.0 < scored.terms["comfortable_pct"] < 100.0


@pytest.mark.parametrize(
    ("columns", "broken"),
    [
        ({"acceleration_ahead_mps2": 2.39}, set()),
        ({"acceleration_ahead_mps2": 2.41}, {"longitudinal_acceleration"}),
        ({"acceleration_ahead_mps2": -4.04}, set()),
        ({"acceleration_ahead_mps2": -4.06}, {"longitudinal_acceleration"}),
        ({"acceleration_left_mps2": -4.90}, {"lateral_acceleration"}),
        ({"acceleration_left_mps2": 4.88}, set()),
        ({"yaw_rad": 0.94 * TIME_S}, set()),
        ({"yaw_rad": 0.96 * TIME_S}, {"yaw_rate"}),
        ({"yaw_rad": 0.98 * (TIME_S - 10.0) ** 2}, {"yaw_rate", "yaw_acceleration"}),
    ],
)
def test_each_bound(columns, broken):
    scored = COMFORT.score(log([], ticks(200, **columns)))
    assert scored.value == (0.0 if broken else 100.0)
    for bound in COMFORT_BOUNDS:
        kept = scored.terms[f"{bound.name}_within_pct"] == 100.0
        assert kept == (bound.name not in broken), bound.name


def test_a_jerk_is_too_much_when_it_lasts():
    saw = np.tile(np.concatenate([np.linspace(-4.0, 2.3, 13), np.linspace(2.3, -4.0, 13)]), 8)[:200]
    terms = COMFORT.score(log([], ticks(200, acceleration_ahead_mps2=saw))).terms
    assert terms["longitudinal_acceleration_within_pct"] == 100.0
    assert terms["longitudinal_jerk_within_pct"] < 100.0
    assert terms["comfortable_pct"] == terms["longitudinal_jerk_within_pct"]


def test_what_was_not_measured_is_not_made_up():
    with pytest.raises(NotMeasuredError, match="every tick"):
        COMFORT.score(log_of_result(drive()))
    with pytest.raises(NotMeasuredError, match=r"acceleration_left_mps2.*not measured"):
        COMFORT.score(log([], ticks(9, acceleration_left_mps2=np.nan)))
    with pytest.raises(NotMeasuredError, match="four"):
        COMFORT.score(log([], ticks(3)))
