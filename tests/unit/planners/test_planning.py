from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dreamdrive.config import from_dict, to_dict
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.planners.cem import CEM, CEMConfig
from dreamdrive.planners.mppi import MPPI, MPPIConfig, path_weights
from dreamdrive.planners.objective import Objective
from dreamdrive.planners.policy import PlannerConfig, PlannerPolicy, build_search
from dreamdrive.planners.search import SearchConfig, shift, smooth_noise
from dreamdrive.worldmodel.state import Imagined, RolloutState
from support.point_mass import SPEED, WALL_SCALE, PointMassWorld, good_driver

FEW = settings(max_examples=25, deadline=None, derandomize=True, database=None)
SEARCH = SearchConfig(num_samples=64, iterations=3, steer_std=0.15, acceleration_std=0.5)
"""Wide and often, since nothing proposes."""
CONFIGS = [
    PlannerConfig(method="mppi", mppi=MPPIConfig(search=SEARCH)),
    PlannerConfig(method="cem", cem=CEMConfig(search=SEARCH)),
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(state: RolloutState) -> np.ndarray:
    image = np.zeros((64, 64, 3), np.uint8)
    share = state.latent_BCHW[0, 0, 0, 0].item() / WALL_SCALE / 100.0
    image[0, 0, 0] = round(255 * min(max(share, 0.0), 1.0))
    return image


def observation(state: RolloutState) -> dict[str, np.ndarray]:
    return {"image": picture(state), "state": state.vector_BK[0].numpy()}


@pytest.mark.parametrize("config", CONFIGS)
def test_a_plan_is_nearly_as_cheap_as_a_good_driver_from_every_start(config: PlannerConfig) -> None:
    world = PointMassWorld()
    start = world.start(8, generator=seeded(3), spread=0.7)
    search = build_search(world, config)
    plan = search.plan(start, search.initial_mean(8), generator=seeded())
    state, actions = start, []
    for _ in range(15):
        actions.append(good_driver(state))
        state, _ = world.imagine_step(state, actions[-1])
    cost = Objective(world, config.objective)
    rival = cost.evaluate(start, torch.stack(actions, 1), generator=seeded()).total_B
    coast = cost.evaluate(start, search.initial_mean(8), generator=seeded()).total_B
    assert plan.residual_BLA.shape == (8, 15, 2)
    assert float(plan.residual_BLA.abs().max()) <= 1.0
    assert (plan.evaluation.total_B < rival + 0.1).all()
    assert (plan.evaluation.total_B < coast - 0.3).all()


def test_searches_side_by_side_do_not_mix() -> None:
    """One start stands before a wall, the other before an open road."""
    world = PointMassWorld()
    start = RolloutState.concatenate(
        [world.start(1, speed=4.0, wall_m=3.0), world.start(1, speed=4.0)]
    )
    search = build_search(world, CONFIGS[0])
    plan = search.plan(start, search.initial_mean(2), generator=seeded())
    assert plan.residual_BLA[0, :3, 1].mean() < -0.5
    assert plan.residual_BLA[1, :3, 1].mean() > 0.5


@pytest.mark.parametrize("config", CONFIGS)
def test_a_planner_drives_up_to_a_wall_and_stops(config: PlannerConfig) -> None:
    world = PointMassWorld()
    policy = PlannerPolicy(world, config)
    state, top = world.start(1, speed=6.0, wall_m=30.0), 0.0
    for _ in range(100):
        action = policy.act(observation(state))
        state, seen = world.imagine_step(state, torch.from_numpy(action)[None])
        assert float(seen.termination_BC.sum()) < 0.5
        top = max(top, float(state.vector_BK[0, SPEED]))
    assert top > 6.0
    assert 0.0 < float(state.latent_BCHW[0, 0, 0, 0]) / WALL_SCALE < 5.0
    assert float(state.vector_BK[0, SPEED]) < 0.5


@FEW
@given(st.floats(0.3, 12.0), st.floats(0.0, 9.0), st.integers(0, 1))
def test_a_plan_never_costs_more_than_braking(wall_m: float, speed: float, method: int) -> None:
    world = PointMassWorld()
    start = world.start(1, speed=speed, wall_m=wall_m)
    small = SearchConfig(num_samples=8, iterations=1)
    config = PlannerConfig(
        method=("mppi", "cem")[method], mppi=MPPIConfig(search=small), cem=CEMConfig(search=small)
    )
    search = build_search(world, config)
    plan = search.plan(start, torch.ones(1, 15, 2), generator=seeded())
    brake = torch.tensor([0.0, -1.0]).expand(1, 15, 2)
    braking = search.objective.evaluate(start, brake, generator=seeded())
    assert plan.evaluation.total_B <= braking.total_B + 1e-4


class Explosive(PointMassWorld):
    """Every decision but a full brake is not finite, or crashes at once."""

    def __init__(self, *, finite: bool) -> None:
        super().__init__()
        self.finite = finite

    def imagine_step(
        self, state: RolloutState, action_BA: Tensor, **how: Any
    ) -> tuple[RolloutState, Imagined]:
        state, seen = super().imagine_step(state, action_BA, **how)
        moves = action_BA[:, 1] > -1.0
        if not self.finite:
            vector = torch.where(moves[:, None], torch.nan, seen.vector_BK)
            return state, seen._replace(vector_BK=vector)
        ends = torch.zeros_like(seen.termination_BC)
        ends[:, 0] = moves.float()
        return state, seen._replace(termination_BC=ends)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("finite", [True, False])
def test_where_all_else_crashes_the_plan_is_to_stop(config: PlannerConfig, finite: bool) -> None:
    search = build_search(Explosive(finite=finite), config)
    start = search.objective.model.start(2)
    plan = search.plan(start, torch.full((2, 15, 2), 0.5), generator=seeded())
    assert (plan.residual_BLA[..., 1] == -1.0).all()
    assert plan.evaluation.survival_B.tolist() == pytest.approx([1.0, 1.0], abs=1e-4)


def test_a_dream_that_is_never_finite_gives_a_full_brake() -> None:
    class Broken(PointMassWorld):
        def imagine_step(self, *args: Any, **how: Any) -> tuple[RolloutState, Imagined]:
            state, seen = super().imagine_step(*args, **how)
            return state, seen._replace(vector_BK=seen.vector_BK * torch.nan)

    for config in CONFIGS:
        policy = PlannerPolicy(Broken(), config)
        action = policy.act(observation(Broken().start(1)))
        assert action.tolist() == [0.0, -1.0]


def test_weights_are_shifted_by_the_minimum_and_masked() -> None:
    cost = torch.tensor([[1e6, 1e6 + 0.5, torch.inf, torch.nan]])
    weight = path_weights(cost.nan_to_num(nan=torch.inf, posinf=torch.inf), 0.5)
    e = 1.0 / (1.0 + np.exp(-1.0))
    torch.testing.assert_close(weight, torch.tensor([[e, 1.0 - e, 0.0, 0.0]], dtype=torch.float32))
    assert path_weights(torch.full((1, 3), torch.inf), 0.5).tolist() == [[0.0, 0.0, 0.0]]


@FEW
@given(st.lists(st.floats(0.0, 100.0), min_size=2, max_size=9), st.floats(-1e5, 1e5))
def test_weights_sum_to_one_and_ignore_a_constant(costs: list[float], constant: float) -> None:
    cost = torch.tensor([costs], dtype=torch.float64)
    weight = path_weights(cost, 0.05)
    assert weight.sum().item() == pytest.approx(1.0)
    torch.testing.assert_close(path_weights(cost + constant, 0.05), weight, rtol=1e-3, atol=1e-6)
    assert weight[0, cost.argmin()] == weight.max()


def test_mppi_refits_to_the_weighted_mean_and_never_widens() -> None:
    candidate = torch.tensor([0.2, 0.6, -1.0]).view(1, 3, 1, 1)
    cost = torch.tensor([[0.0, 0.0, 100.0]])
    mean, std = MPPI(MPPIConfig())(candidate, cost, torch.full((1, 1, 1), 0.5))
    assert mean.item() == pytest.approx(0.4)
    assert std.item() == pytest.approx(0.2)
    narrow = MPPI(MPPIConfig())(candidate, cost, torch.full((1, 1, 1), 0.1))[1]
    assert narrow.item() == pytest.approx(0.1)
    alone = MPPI(MPPIConfig())(candidate[:, 1:], cost[:, 1:], torch.full((1, 1, 1), 0.5))[1]
    assert alone.item() == pytest.approx(0.02)


def test_cem_refits_to_its_finite_elites() -> None:
    candidate = torch.tensor([0.0, 0.4, 0.9, 0.9]).view(1, 4, 1, 1)
    config = CEMConfig(search=SearchConfig(num_samples=4), num_elites=2)
    wide = torch.ones(1, 1, 1)
    mean, std = CEM(config)(candidate, torch.tensor([[1.0, 2.0, 3.0, 4.0]]), wide)
    assert mean.item() == pytest.approx(0.2)
    assert std.item() == pytest.approx(0.2)
    lonely = torch.tensor([[torch.inf, 2.0, torch.inf, torch.inf]])
    assert CEM(config)(candidate, lonely, wide)[0].item() == pytest.approx(0.4)


def test_noise_is_of_unit_size_and_correlated_along_the_plan() -> None:
    noise = smooth_noise(torch.zeros(2, 10, 2), 4000, 0.8, seeded())
    assert noise.shape == (2, 4000, 10, 2)
    torch.testing.assert_close(noise.std((0, 1)), torch.ones(10, 2), atol=0.05, rtol=0.0)
    for gap in (1, 3):
        product = (noise[:, :, gap:] * noise[:, :, :-gap]).mean().item()
        assert product == pytest.approx(0.8**gap, abs=0.03)
    assert (noise[..., 0] * noise[..., 1]).mean().item() == pytest.approx(0.0, abs=0.03)


def test_a_shifted_plan_starts_where_the_executed_part_ends() -> None:
    plan = torch.arange(4.0).view(1, 4, 1)
    assert shift(plan, 0)[0, :, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert shift(plan, 3)[0, :, 0].tolist() == [3.0, 3.0, 3.0, 3.0]
    assert shift(plan, 1)[0, :, 0].tolist() == [1.0, 2.0, 3.0, 3.0]
    assert shift(plan, 9)[0, :, 0].tolist() == [3.0, 3.0, 3.0, 3.0]


def test_the_plan_is_executed_and_remade_every_few_decisions() -> None:
    world = PointMassWorld()
    policy = PlannerPolicy(world, replace(CONFIGS[0], replan_every=5))
    state, plans = world.start(1), []
    for t in range(11):
        action = policy.act(observation(state))
        assert policy.plan is not None
        plans.append(policy.plan)
        np.testing.assert_array_equal(action, policy.plan.residual_BLA[0, t % 5].numpy())
        state, _ = world.imagine_step(state, torch.from_numpy(action)[None])
    assert [plans[t] is plans[t - 1] for t in range(1, 11)] == [t % 5 != 0 for t in range(1, 11)]


def test_real_frames_are_followed_with_the_action_that_led_to_them() -> None:
    seen: list[Tensor | None] = []

    class Watched(PointMassWorld):
        def observe(
            self, state: RolloutState, image_BCHW: Tensor, vector_BK: Tensor,
            action_BA: Tensor | None = None,
        ) -> RolloutState:  # fmt: skip
            assert image_BCHW.shape == (1, 3, 64, 64)
            assert float(image_BCHW.max()) <= 1.0
            seen.append(action_BA)
            return super().observe(state, image_BCHW, vector_BK, action_BA)

    world = Watched()
    policy, state = PlannerPolicy(world, CONFIGS[0]), world.start(1)
    actions = [policy.act(observation(state)) for _ in range(3)]
    policy.reset()
    policy.act(observation(state))
    assert seen[0] is None
    assert seen[3] is None
    for led, action in zip(seen[1:3], actions[:2], strict=True):
        assert led is not None
        np.testing.assert_array_equal(led[0].numpy(), action)


def test_the_seed_and_the_episode_fix_the_plan() -> None:
    world = PointMassWorld()

    def episodes(seed: int) -> list[list[float]]:
        policy = PlannerPolicy(world, CONFIGS[0], seed=seed)
        actions = [policy.act(observation(world.start(1))).tolist()]
        policy.reset()
        return [*actions, policy.act(observation(world.start(1))).tolist()]

    assert episodes(1) == episodes(1)
    assert episodes(1)[0] != episodes(1)[1]
    assert episodes(1)[0] != episodes(2)[0]


def look_and_drive(latent: Tensor, vector: Tensor) -> Tensor:
    return good_driver(PointMassWorld().init_state(len(vector))._replace(vector_BK=vector))


def full_throttle(latent: Tensor, vector: Tensor) -> Tensor:
    return torch.tensor([0.0, 1.0]).expand(len(vector), 2)


def tiny(**how: Any) -> PlannerConfig:
    return PlannerConfig(mppi=MPPIConfig(search=SearchConfig(num_samples=2, **how)))


def test_a_good_base_policy_makes_a_tiny_search_good() -> None:
    world = PointMassWorld()
    start = world.start(4, generator=seeded(3), spread=1.5)
    costs = []
    for base in (None, look_and_drive):
        search = build_search(world, tiny(), base)
        plan = search.plan(start, search.initial_mean(4), generator=seeded())
        costs.append(plan.evaluation.total_B)
    assert (costs[1] < costs[0]).all()


def test_a_base_policy_that_would_crash_is_overruled() -> None:
    """The brake is a residual too, and leads from full throttle to full brake."""
    world = PointMassWorld()
    policy = PlannerPolicy(world, tiny(), base=full_throttle)
    state = world.start(1, speed=6.0, wall_m=40.0)
    for _ in range(100):
        action = policy.act(observation(state))
        state, seen = world.imagine_step(state, torch.from_numpy(action)[None])
        assert float(seen.termination_BC.sum()) < 0.5
    assert 0.0 < float(state.latent_BCHW[0, 0, 0, 0]) / WALL_SCALE < 10.0
    assert float(state.vector_BK[0, SPEED]) < 0.5


@pytest.mark.parametrize(("margin", "overruled"), [(0.0, True), (1.0, True), (100.0, False)])
def test_a_base_policy_is_left_alone_within_the_margin(margin: float, overruled: bool) -> None:
    world = PointMassWorld()
    search = build_search(world, tiny(margin=margin), full_throttle)
    start = world.start(1, speed=8.0, wall_m=6.0)
    plan = search.plan(start, search.initial_mean(1), generator=seeded())
    assert bool((plan.residual_BLA != 0.0).any()) is overruled


def test_the_base_policy_looks_at_every_real_frame_while_a_plan_is_driven() -> None:
    world = PointMassWorld()
    config = replace(tiny(acceleration_std=0.0, margin=100.0), replan_every=5)
    policy = PlannerPolicy(world, config, base=look_and_drive)
    for offset in (0.0, 1.0, -1.0, 0.5):
        state = world.start(1)
        state.vector_BK[0, STATE_INDEX["lateral_offset"]] = offset
        expected = look_and_drive(state.seen, state.vector_BK)[0].numpy()
        np.testing.assert_array_equal(policy.act(observation(state)), expected)


def test_a_configuration_survives_its_json() -> None:
    for config in CONFIGS:
        assert from_dict(PlannerConfig, to_dict(config)) == config


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="replan_every"):
        PlannerConfig(replan_every=16)
    with pytest.raises(ValueError, match="num_elites"):
        CEMConfig(num_elites=65)
    with pytest.raises(ValueError, match="temperature"):
        MPPIConfig(temperature=0.0)
    with pytest.raises(ValueError, match="correlation"):
        SearchConfig(correlation=1.0)
    with pytest.raises(ValueError, match="final_draws"):
        SearchConfig(final_draws=0)
    with pytest.raises(ValueError, match="margin"):
        SearchConfig(margin=-1.0)
