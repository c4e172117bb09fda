from typing import Any

import pytest
import torch
from torch import Tensor

from dreamdrive.planners.costs import CostWeights
from dreamdrive.planners.objective import Objective, ObjectiveConfig
from dreamdrive.worldmodel.state import Imagined, RolloutState
from support.point_mass import LIMIT, SPEED, PointMassWorld

TERMS = {"collision", "rule", "progress", "comfort", "termination"}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def plans(*actions: tuple[float, float], L: int = 10) -> Tensor:
    return torch.tensor(actions)[:, None].expand(-1, L, 2)


class ScriptedWorld(PointMassWorld):
    """A decision with steer above 0.5 collides with a probability of its own."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def imagine_step(
        self, state: RolloutState, action_BA: Tensor, **how: Any
    ) -> tuple[RolloutState, Imagined]:
        state, seen = super().imagine_step(state, action_BA, **how)
        ends = torch.zeros_like(seen.termination_BC)
        ends[:, 0] = self.probability * (action_BA[:, 0] > 0.5)
        return state, seen._replace(termination_BC=ends)


def test_cruising_at_the_limit_costs_next_to_nothing_and_standing_costs_the_progress() -> None:
    world = PointMassWorld()
    cost = Objective(world, ObjectiveConfig(probability_floor=0.005))
    cruise = cost.evaluate(world.start(1, speed=8.0), plans((0.0, 0.0)), generator=seeded())
    assert cruise.total_B.item() == pytest.approx(0.0, abs=1e-3)
    assert cruise.survival_B.item() == pytest.approx(1.0, abs=1e-3)
    stand = cost.evaluate(world.start(1, speed=0.0), plans((0.0, 0.0)), generator=seeded())
    assert stand.terms["progress"].item() == pytest.approx(2.0)
    assert stand.total_B.item() == pytest.approx(2.0, abs=1e-3)


def test_the_named_terms_add_up() -> None:
    world = PointMassWorld()
    judged = Objective(world, ObjectiveConfig(discount=0.97)).evaluate(
        world.start(3, speed=9.0, wall_m=6.0), plans((0.9, 1.0), (0.0, 0.3), (-0.5, -1.0)),
        generator=seeded(),
    )  # fmt: skip
    assert set(judged.terms) == TERMS
    assert all(bool((term > 0).any()) for term in judged.terms.values())
    torch.testing.assert_close(sum(judged.terms.values()), judged.total_B)


def test_an_end_is_paid_once_and_masks_what_follows() -> None:
    """A certain collision at the first of ten decisions: 20 once, 100 / 10, and one tenth of the
    progress and comfort that the first decision lost."""
    world = ScriptedWorld(1.0)
    action = plans((0.0, -1.0)).clone()
    action[:, 0, 0] = 0.6
    judged = Objective(world, ObjectiveConfig()).evaluate(
        world.start(1, speed=0.0), action, generator=seeded()
    )
    assert judged.survival_B.item() == 0.0
    assert judged.terms["termination"].item() == pytest.approx(20.0)
    assert judged.terms["collision"].item() == pytest.approx(10.0)
    assert judged.terms["progress"].item() == pytest.approx(0.2)
    assert judged.terms["rule"].item() == 0.0


def test_survival_weighs_later_ends_with_what_is_left() -> None:
    """Half the probability at each of three decisions: 1/2 + 1/4 + 1/8 ends, 1/8 is left."""
    world = ScriptedWorld(0.5)
    judged = Objective(world, ObjectiveConfig()).evaluate(
        world.start(1), plans((0.6, 0.0), L=3), generator=seeded()
    )
    assert judged.terms["termination"].item() == pytest.approx(17.5)
    assert judged.survival_B.item() == pytest.approx(0.125)


def test_probabilities_below_the_floor_do_not_frighten() -> None:
    for probability, expected in ((0.02, 0.0), (0.05, 0.0), (0.525, 10.0), (1.0, 20.0)):
        judged = Objective(ScriptedWorld(probability), ObjectiveConfig(probability_floor=0.05))
        terms = judged.evaluate(
            PointMassWorld().start(1), plans((0.6, 0.0), L=1), generator=seeded()
        ).terms
        assert terms["termination"].item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("L", [1, 5, 30])
def test_a_crash_at_the_first_step_is_never_cheaper_than_stopping(L: int) -> None:
    """Not even where it is the only progress to be had."""
    world = ScriptedWorld(0.9)
    judged = Objective(world, ObjectiveConfig()).evaluate(
        world.start(2, speed=8.0), plans((0.6, 1.0), (0.0, -1.0), L=L), generator=seeded()
    )
    assert judged.total_B[0] > judged.total_B[1] + 15.0


def test_a_dream_that_is_not_finite_costs_infinitely_much() -> None:
    class Broken(PointMassWorld):
        def imagine_step(
            self, state: RolloutState, action_BA: Tensor, **how: Any
        ) -> tuple[RolloutState, Imagined]:
            state, seen = super().imagine_step(state, action_BA, **how)
            vector = seen.vector_BK.clone()
            vector[action_BA[:, 0] > 0.5, SPEED] = torch.nan
            return state, seen._replace(vector_BK=vector)

    world = Broken()
    judged = Objective(world, ObjectiveConfig()).evaluate(
        world.start(2), plans((0.6, 0.0), (0.0, 0.0)), generator=seeded()
    )
    assert judged.total_B[0].item() == float("inf")
    assert judged.total_B[1].isfinite()


def test_the_value_of_the_last_frame_is_taken_off_where_it_is_reached() -> None:
    world = PointMassWorld()

    def speed_is_worth(latent: Tensor, vector: Tensor) -> Tensor:
        return vector[:, SPEED]

    config = ObjectiveConfig(weights=CostWeights(value=0.1), discount=0.9)
    judged = Objective(world, config, value=speed_is_worth).evaluate(
        world.start(1, speed=5.0), plans((0.0, 0.0), L=4), generator=seeded()
    )
    assert judged.terms["value"].item() == pytest.approx(-0.1 * 0.9**4 * 5.0, rel=1e-3)
    with pytest.raises(ValueError, match="value function"):
        Objective(world, config)


def test_rough_driving_costs_comfort_only() -> None:
    world = PointMassWorld()
    rough = plans((0.0, 0.0)).clone()
    rough[:, ::2, 1], rough[:, 1::2, 1] = 1.0, -1.0
    judged = Objective(world, ObjectiveConfig()).evaluate(
        world.start(2, speed=7.0), torch.cat([rough, plans((0.0, 0.0))]), generator=seeded()
    )
    assert judged.terms["comfort"][0] > 0.2
    assert judged.terms["comfort"][0] < 0.5
    assert judged.terms["comfort"][1].item() == pytest.approx(0.0, abs=1e-6)


class Noisy(PointMassWorld):
    def imagine_step(
        self, state: RolloutState, action_BA: Tensor, *, noise: Any = None, **how: Any
    ) -> tuple[RolloutState, Imagined]:
        state, seen = super().imagine_step(state, action_BA, noise=noise, **how)
        vector = seen.vector_BK.clone()
        vector[:, SPEED] += 0.3 * noise[1][:, SPEED]
        return state._replace(vector_BK=vector), seen._replace(vector_BK=vector)


@pytest.mark.parametrize("draws", [1, 3])
def test_every_plan_meets_the_same_noise(draws: int) -> None:
    world = Noisy()
    cost, same = Objective(world, ObjectiveConfig()), plans((0.1, 0.2), (0.1, 0.2))
    start = world.start(2)
    first = cost.evaluate(start, same, generator=seeded(), draws=draws).total_B
    assert first[0] == first[1]
    other = cost.evaluate(start, same, generator=torch.Generator().manual_seed(1), draws=draws)
    assert other.total_B[0] != first[0]


def test_the_draws_of_a_plan_are_averaged() -> None:
    world = Noisy()
    cost, plan = Objective(world, ObjectiveConfig()), plans((0.1, 0.2), (0.0, -1.0), L=3)

    def evaluate(draws: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return cost.evaluate(world.start(2), plan, generator=generator, draws=draws).total_B

    single = torch.stack([evaluate(1, seed) for seed in range(400)])
    averaged = torch.stack([evaluate(16, seed) for seed in range(100)])
    torch.testing.assert_close(averaged.mean(0), single.mean(0), rtol=0.03, atol=0.0)
    torch.testing.assert_close(averaged.std(0), single.std(0) / 4.0, rtol=0.25, atol=0.0)


def test_a_plan_is_what_is_added_to_the_base_policy() -> None:
    """A base that holds the speed limit, and a residual that takes its pedal away."""
    world = PointMassWorld()

    def to_the_limit(latent: Tensor, vector: Tensor) -> Tensor:
        pedal = (vector[:, LIMIT] - vector[:, SPEED]).clamp(-1.0, 1.0)
        return torch.stack([torch.zeros_like(pedal), pedal], 1)

    cost = Objective(world, ObjectiveConfig(), to_the_limit)
    judged = cost.evaluate(
        world.start(3, speed=2.0), plans((0.0, 0.0), (0.0, -1.0), (0.0, -2.0)), generator=seeded()
    ).terms["progress"]
    alone = Objective(world, ObjectiveConfig()).evaluate(
        world.start(3, speed=2.0), plans((0.0, 1.0), (0.0, 0.0), (0.0, -1.0)), generator=seeded()
    ).terms["progress"]  # fmt: skip
    torch.testing.assert_close(judged, alone)


@pytest.mark.parametrize(
    "fields", [{"discount": 0.0}, {"probability_floor": 1.0}, {"num_steps": 0}]
)
def test_impossible_settings_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        ObjectiveConfig(**fields)
