"""What is planted in all but the embedded server."""

from faults.fault import Fault

FAULTS = [
    Fault(
        "the tokenizer looks one frame ahead", "worldmodel/causal_conv.py",
        "padded[:, i : i + T] for i", "padded.roll(-1, 1)[:, i : i + T] for i",
        "unit/worldmodel/test_tokenizer.py",
    ),
    Fault(
        "frames attend to later frames", "worldmodel/attention.py",
        "(distance >= 0) & (distance < window)", "distance < window",
        "unit/worldmodel/test_dynamics.py",
    ),
    Fault(
        "the keys of the ring cache are not rotated", "worldmodel/attention.py",
        "self._in_time(ring.angle)", "self._in_time(0.0 * ring.angle)",
        "unit/worldmodel/test_dynamics_options.py",
    ),
    Fault(
        "an Euler step goes the wrong way", "kernels/flow_step.py",
        "return z + step * ((", "return z - step * ((", "unit/worldmodel/test_path.py",
    ),
    Fault(
        "termination risk is learned as often as it is sampled", "worldmodel/heads.py",
        "math.log(oversampling)", "0.0 * math.log(oversampling)", "unit/worldmodel/test_heads.py",
    ),
    Fault(
        "an action is stored with the frame that it was taken on", "worldmodel/episodes.py",
        "observation(slice(1, steps + 1))", "observation(slice(0, steps))",
        "unit/worldmodel/test_episodes.py",
    ),
    Fault(
        "returns run on through a termination", "kernels/scan.py",
        "discount * continuation_BT[:, t] * ahead", "discount * ahead",
        "unit/agents/test_returns.py",
    ),
    Fault(
        "the actor is led by the critic's raw scale", "agents/actor_critic.py",
        "gain_BT = target_BT / scale", "gain_BT = target_BT * scale",
        "unit/agents/test_actor_critic.py",
    ),
    Fault(
        "a policy without the image sees it", "agents/networks.py",
        "if self.use_image:\n            seen = torch.cat",
        "if True:\n            seen = torch.cat", "unit/agents/test_networks.py",
    ),
    Fault(
        "what comes after an end still costs", "planners/objective.py",
        "counted = alive[:, :-1] *", "counted = torch.ones_like(alive[:, :-1]) *",
        "unit/planners/test_objective.py",
    ),
    Fault(
        "plans meet different noise", "planners/objective.py",
        "return drawn.repeat(len(like) // draws, *(1 for _ in like.shape[1:]))",
        "return torch.randn(like.shape, generator=generator)", "unit/planners/test_objective.py",
    ),
    Fault(
        "the planner overrules its policy for nothing", "planners/search.py",
        "counted[:, 2] -= self.config.margin", "counted[:, 2] += self.config.margin",
        "unit/planners/test_planning.py",
    ),
    Fault(
        "MPPI's weights overflow", "planners/mppi.py",
        "cost_BS - cost_BS.min(1, keepdim=True).values", "cost_BS",
        "unit/planners/test_planning.py",
    ),
    Fault(
        "comparisons take percentiles of a known spread", "experiments/scores.py",
        "return normal.cdf(-t * (num / freedom) ** 0.5)", "return tail",
        "unit/experiments/test_comparison_statistics.py",
    ),
    Fault(
        "swaps no longer decide whether a difference is real", "experiments/pairing.py",
        "chance is not None and chance < REAL", "chance is not None",
        "unit/experiments/test_comparison_statistics.py unit/experiments/test_compare.py",
    ),
    Fault(
        "pictures of a report are mirrored", "experiments/report_pictures.py",
        "turn = (sin, -cos, -cos, -sin, y * cos - x * sin,",
        "turn = (-sin, -cos, cos, -sin, x * sin - y * cos,",
        "unit/experiments/test_report_drives.py",
    ),
    Fault(
        "who is hit while standing is to blame", "envs/carla/events.py",
        "or ego.speed_mps < STANDING_MPS:", "or ego.speed_mps < 0.0:",
        "unit/envs_carla/test_events.py",
    ),
    Fault(
        "a scenario that could not be played asks for an ability",
        "experiments/scorers/bench2drive_abilities.py", 'if s.result != "absent"}', "}",
        "unit/experiments/scorers/test_bench2drive_abilities.py",
    ),
    Fault(
        "minimum speed is judged at other check-points", "experiments/scorers/min_speed.py",
        "LAST_CHECKPOINT_SHARE = 0.95", "LAST_CHECKPOINT_SHARE = 0.99",
        "unit/experiments/scorers/test_upstream.py",
    ),
    Fault(
        "one moment of discomfort is forgiven", "experiments/scorers/nuplan_comfort.py",
        "value=100.0 * bool(always.all())", "value=100.0 * bool(always.any())",
        "unit/experiments/scorers/test_signals.py",
    ),
    Fault(
        "the leaderboard's file tells a rate outside the lanes", "experiments/leaderboard_json.py",
        "drive.result.outside_route_m for drive in drives) / 1000.0",
        "drive.result.outside_route_m for drive in drives) / 1000.0 / km",
        "unit/experiments/scorers/test_upstream.py",
    ),
    Fault(
        "the bird's-eye view is mirrored", "envs/carla/bev.py",
        "EGO_PIXEL[0] - (dy * cos", "EGO_PIXEL[0] + (dy * cos", "unit/envs_carla/test_bev.py",
    ),
    Fault(
        "a light that has just changed counts as run", "envs/carla/episode.py",
        "self._lights.crossed(scene) & is_red & self._was_red",
        "self._lights.crossed(scene) & is_red", "unit/envs_carla/test_episode.py",
    ),
    Fault(
        "a cut episode counts as terminated", "envs/carla/episode.py",
        "terminated = cause in TERMINATION_CAUSES", "terminated = bool(cause)",
        "unit/envs_carla/test_episode.py",
    ),
    Fault(
        "an environment's noise depends on its neighbours", "envs/dream/program.py",
        "self.noise.episode_B.add_(mask_B)", "self.noise.episode_B.add_(1)",
        "unit/envs_dream/test_vector.py",
    ),
    Fault(
        "a time limit hides a termination", "envs/dream/program.py",
        "truncated = late_B & ~terminated", "truncated = late_B", "unit/envs_dream/test_vector.py",
    ),
    Fault(
        "infractions beyond the first are free", "experiments/scorers/leaderboard_2_1.py",
        "COEFFICIENTS.get(cause, 0.0) * count for", "COEFFICIENTS.get(cause, 0.0) for",
        "unit/experiments/test_scores.py",
    ),
    Fault(
        "all purposes of a seed share one stream", "dreamdrive/seeding.py",
        "[str(seed), *(str(word) for word in purpose)]", "[str(seed)]",
        "unit/dreamdrive/test_seeding.py",
    ),
    Fault(
        "a checkpoint of another schema is read", "dreamdrive/checkpoint.py",
        "if schema != SCHEMA:", "if False:", "unit/dreamdrive/test_checkpoint.py",
    ),
    Fault(
        "penalties of the leaderboard 1.0 count once", "experiments/scorers/infractions.py",
        "factors[cause] ** count", "(factors[cause] if count else 1.0)",
        "unit/experiments/scorers",
    ),
    Fault(
        "a comparison has its sides swapped", "experiments/pairing.py",
        "better = a if (value > 0.0) == scorer.higher_is_better else b",
        "better = b if (value > 0.0) == scorer.higher_is_better else a",
        "unit/experiments/test_compare.py",
    ),
    Fault(
        "a dream's promise counts what comes after its end", "experiments/truth_policy.py",
        "(dream.alive * dreamed).sum(1)", "dreamed.sum(1)",
        "unit/experiments/test_truth_policy.py",
    ),
    Fault(
        "a camera's picture is of an older tick", "envs/carla/frames.py",
        "if found.frame == frame:", "if found.frame >= frame - 1:",
        "contract/test_carla_camera.py",
    ),
    Fault(
        "both halves of a step begin at one place", "worldmodel/shortcut.py",
        "x + along(half, x) * v", "x + 0.0 * v", "unit/worldmodel/test_shortcut.py",
    ),
    Fault(
        "a student learns the endpoints of other noises", "worldmodel/distillation.py",
        "columns.append((*noise, step", "columns.append((noise[0].roll(1, 0), noise[1], step",
        "unit/worldmodel/test_distillation.py::"
        "test_pairs_are_what_the_sampler_gives_and_a_teacher_can_follow_itself",
    ),
    Fault(
        "the teacher of foresight is the network itself", "worldmodel/jepa.py",
        'functional_call(network, _under("network.", average), (clean,))', "network(clean)",
        "unit/worldmodel/test_jepa.py::test_the_target_is_the_average_and_gets_no_gradient",
    ),
    Fault(
        "the guard against collapse is left out", "worldmodel/jepa.py",
        "error + jepa.config.guard * missing", "error",
        "unit/worldmodel/test_jepa.py::test_it_collapses_without_the_guard_and_not_with_it",
    ),
    Fault(
        "a critic is never charged for being sure", "worldmodel/adversary.py",
        "0.5 * config.penalty / config.shake**2 * uneven", "0.0 * uneven",
        "unit/worldmodel/test_adversary.py::test_a_critic_is_charged_for_being_sure_about_little",
    ),
    Fault(
        "dreams are led to where a critic is surest of them", "worldmodel/adversary.py",
        "F.softplus(on_real.detach() - told)", "F.softplus(told - on_real.detach())",
        "unit/worldmodel/test_adversary.py::"
        "test_dreams_come_to_look_like_something_real_and_stay_diverse",
    ),
    Fault(
        "a far dream goes on under the actions of a drive that went elsewhere",
        "experiments/far_dreams.py", "torch.where(self.age == 0, self.row, nearest)", "self.row",
        "unit/experiments/test_far_dreams.py::"
        "test_a_dream_is_driven_as_the_recorded_moment_that_is_most_like_it",
    ),
    Fault(
        "a far dream outlives the end that was foreseen for it",
        "experiments/far_dreams.py", "self.alive = self.alive * (1.0 - ends).clamp(0.0, 1.0)",
        "self.alive = (1.0 - ends).clamp(0.0, 1.0)",
        "unit/experiments/test_far_dreams.py::"
        "test_a_dream_has_ended_when_it_has_more_likely_than_not",
    ),
    Fault(
        "what a brake averts is not driven again", "experiments/truth_averting.py",
        "cause = cause_of(env, driven, now, list(taken))", "cause = driven.cause",
        "unit/experiments/test_truth_averting.py::"
        "test_both_ways_part_before_the_collision_and_the_brake_is_really_driven",
    ),
    Fault(
        "a far dream is forgotten with the process", "experiments/far_dreams.py",
        "torch.zeros(P, dtype=torch.long, device=model.device))",
        "torch.zeros(P, dtype=torch.long, device=model.device), persistent=False)",
        "unit/experiments/test_training.py::"
        "test_a_killed_world_model_run_ends_as_an_unbroken_one",
    ),
    Fault(
        "the consistency is the divergence the other way round", "worldmodel/heads.py",
        "(log_q.exp() * (log_q - log_p))", "(log_p.exp() * (log_p - log_q))",
        "unit/worldmodel/test_distillation.py::"
        "test_the_divergence_of_heads_is_that_of_their_distributions",
    ),
    Fault(
        "a gradient that is not finite reaches the weights", "experiments/training_state.py",
        'self._refuse_infinity("norm of the gradient", float(norm))', "pass",
        "unit/experiments/test_training.py::"
        "test_a_gradient_that_is_not_finite_stops_and_the_last_save_is_intact",
    ),
    Fault(
        "video without actions teaches rewards", "worldmodel/losses.py",
        "agent_BTD[is_known], reward[is_known], cause[is_known]", "agent_BTD, reward, cause",
        "unit/worldmodel/test_null_action.py",
    ),
    Fault(
        "weights learn what one thread's dreams teach alone", "worldmodel/fused_weights.py",
        "torch.stack(x).sum(0) for x in each", "x[0].clone() for x in each",
        "unit/worldmodel/test_fused_weights.py::"
        "test_threads_share_the_dreams_out_and_add_up_what_they_learn",
    ),
    Fault(
        "gradients of weights go on from the dream before", "worldmodel/fused_weights.py",
        "one.zero()", "pass",
        "unit/worldmodel/test_fused_weights.py::"
        "test_the_weights_are_those_that_hold_when_a_dream_begins",
    ),
    Fault(
        "a training's rollouts keep the weights that it began with", "worldmodel/fused_rollout.py",
        "if versions != self._packed:", "if not self._packed:",
        "unit/worldmodel/test_fused_weights.py::"
        "test_the_weights_are_those_that_hold_when_a_dream_begins",
    ),
]  # fmt: skip
