import numpy as np
import pytest
import torch

from dreamdrive.driving.causes import TERMINATION_CAUSES
from dreamdrive.driving.state import STATE_INDEX, STATE_SIZE
from dreamdrive.envs.dream.costs import CostMeter

CPU = torch.device("cpu")
NUM_CAUSES = len(TERMINATION_CAUSES)


def frame(speed: float, *, rate: float = 0.0, limit: float = 8.0) -> torch.Tensor:
    vector = torch.zeros(1, STATE_SIZE)
    vector[0, STATE_INDEX["speed"]], vector[0, STATE_INDEX["yaw_rate"]] = speed, rate
    vector[0, STATE_INDEX["speed_limit"]] = limit
    return vector


def meter() -> CostMeter:
    made = CostMeter(TERMINATION_CAUSES, 1, CPU)
    made.restart(torch.tensor([True]), frame(5.0))
    return made


def test_collisions_and_other_faults_are_split_by_cause() -> None:
    termination = torch.full((1, NUM_CAUSES), 0.01)
    termination[0, TERMINATION_CAUSES.index("collision_walker")] = 0.3
    termination[0, TERMINATION_CAUSES.index("red_light")] = 0.2
    cost = meter().update(frame(5.0), termination)
    assert float(cost["collision"]) == pytest.approx(0.32)
    assert float(cost["rule"]) == pytest.approx(0.23)


@pytest.mark.parametrize(
    ("speed", "progress", "rule"), [(0.0, 1.0, 0.0), (4.0, 0.5, 0.0), (8.0, 0.0, 0.0),
                                    (9.115, 0.0, 0.5), (20.0, 0.0, 1.0)],
)  # fmt: skip
def test_progress_and_speeding_follow_the_limit(speed: float, progress: float, rule: float) -> None:
    cost = meter().update(frame(speed), torch.zeros(1, NUM_CAUSES))
    assert float(cost["progress"]) == pytest.approx(progress, abs=1e-5)
    assert float(cost["rule"]) == pytest.approx(rule, abs=1e-3)


def test_comfort_is_that_of_the_real_environment() -> None:
    pytest.importorskip("carla")
    from dreamdrive.envs.carla.comfort import ComfortMeter, comfort_cost
    from dreamdrive.envs.carla.scene import EgoPose

    fields = dict.fromkeys(EgoPose.__dataclass_fields__, 0.0)
    rng = np.random.default_rng(0)
    real, dreamed = ComfortMeter(), CostMeter(TERMINATION_CAUSES, 1, CPU)
    speed, rate = 5.0, 0.1
    real.update(EgoPose(**fields | {"speed_mps": speed, "yaw_rate_radps": rate}))
    dreamed.restart(torch.tensor([True]), frame(speed, rate=rate))
    for _ in range(12):
        speed, rate = rng.uniform(0.0, 10.0), rng.uniform(-1.5, 1.5)
        signals = real.update(EgoPose(**fields | {"speed_mps": speed, "yaw_rate_radps": rate}))
        cost = dreamed.update(frame(speed, rate=rate), torch.zeros(1, NUM_CAUSES))
        assert float(cost["comfort"]) == pytest.approx(comfort_cost(signals), rel=1e-3)


def test_a_restart_forgets_the_motion() -> None:
    quiet = torch.zeros(1, NUM_CAUSES)
    made = meter()
    for speed in (0.0, 0.0, 9.0, 9.0, 0.0):
        rough = made.update(frame(speed), quiet)
    made.restart(torch.tensor([True]), frame(5.0))
    smooth = made.update(frame(5.0), quiet)
    assert float(rough["comfort"]) > 1.0
    assert float(smooth["comfort"]) == 0.0
