import numpy as np
import pytest

from dreamdrive.envs.carla.drivers import (
    DEFAULT_SHARES,
    DRIVER_NAMES,
    DriftingNoise,
    PedalInterruptions,
    SmoothRandom,
    Standing,
    make_driver,
)
from dreamdrive.errors import ConfigError


def test_every_driver_has_a_share_and_the_shares_are_whole():
    assert set(DEFAULT_SHARES) == set(DRIVER_NAMES)
    assert sum(DEFAULT_SHARES.values()) == pytest.approx(1.0)


def test_an_unknown_driver_is_refused():
    with pytest.raises(ConfigError, match=r"no driver 'drunk'.*Known: expert"):
        make_driver("drunk")


def test_drifting_noise_has_its_deviation_and_memory():
    rng = np.random.default_rng(0)
    noise = DriftingNoise(rng, np.array([0.5, 2.0], np.float32), memory_s=0.5)
    values = np.array([noise.step() for _ in range(20_000)])[100:]
    assert values.std(0) == pytest.approx([0.5, 2.0], rel=0.1)
    lag = np.corrcoef(values[:-5, 0], values[5:, 0])[0, 1]
    assert lag == pytest.approx(np.exp(-1.0), abs=0.05)


def test_random_driving_is_smooth_within_bounds_and_seeded():
    def drive(seed):
        driver = SmoothRandom()
        driver.reset(np.random.default_rng(seed))
        return np.array([driver.act(None) for _ in range(200)])

    actions = drive(1)
    assert actions.dtype == np.float32
    assert np.abs(actions).max() <= 1.0
    assert np.abs(np.diff(actions[:, 0])).mean() < 0.15
    np.testing.assert_array_equal(actions, drive(1))
    assert (actions != drive(2)).any()


def test_standing_brakes():
    driver = Standing()
    driver.reset(np.random.default_rng(0))
    assert driver.act(None).tolist() == [0.0, -1.0]


def test_interruptions_leave_the_steering_and_take_the_pedal_both_ways():
    interruptions = PedalInterruptions(np.random.default_rng(0))
    wanted = np.array([0.3, 0.05], np.float32)
    actions = np.array([interruptions.over(wanted) for _ in range(5_000)])
    assert actions.dtype == np.float32
    assert (actions[:, 0] == wanted[0]).all()
    pedal = actions[:, 1]
    assert 0.25 < (pedal < -0.2).mean() < 0.45
    assert 0.08 < (pedal > 0.3).mean() < 0.22
    assert np.abs(pedal).max() <= 1.0
    changes = np.flatnonzero(np.diff(pedal)) + 1
    assert np.diff(changes).min() >= 8
