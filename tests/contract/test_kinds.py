"""Dream, agent and planner run on every kind of dynamics, unchanged."""

from typing import get_args

import numpy as np
import pytest
import torch

from dreamdrive.agents.actor_critic import ActorCritic, ActorCriticConfig
from dreamdrive.agents.artefact import DreamPolicy
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.planners.mppi import MPPIConfig
from dreamdrive.planners.policy import PlannerConfig, PlannerPolicy
from dreamdrive.planners.search import WIDE
from dreamdrive.worldmodel.mdnrnn import MDNRNNConfig
from dreamdrive.worldmodel.model import Kind, WorldModel, WorldModelConfig
from dreamdrive.worldmodel.recurrent import RecurrentConfig
from dreamdrive.worldmodel.rssm import RSSMConfig
from support.tiny_world import tiny_contexts, tiny_model


def model_of(kind: Kind) -> WorldModel:
    tiny = tiny_model()
    fields = {name: getattr(tiny.config, name) for name in WorldModelConfig.__dataclass_fields__}
    config = WorldModelConfig(
        **fields | {
            "kind": kind, "recurrent": RecurrentConfig(width=16, hidden=16),
            "mdnrnn": MDNRNNConfig(width=16, hidden=16),
            "rssm": RSSMConfig(width=16, hidden=16, num_variables=4, num_classes=4),
        }
    )  # fmt: skip
    torch.manual_seed(0)
    model = WorldModel(config)
    kept = {k: v for k, v in tiny.state_dict().items() if k.startswith("tokenizer.")}
    model.load_state_dict(kept, strict=False)
    for parameter in model.dynamics.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    model.vector_std.fill_(0.3)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_is_dreamed_learned_from_searched_and_stored(kind: Kind, tmp_path) -> None:
    model = model_of(kind)
    dreams = DreamVectorEnv(3, model, tiny_contexts(), num_steps=4, termination="threshold")
    dreams.reset(seed=0)
    first = [dreams.step(np.zeros((3, 2), np.float32))[0]["state"] for _ in range(5)]
    dreams.reset(seed=0)
    second = [dreams.step(np.zeros((3, 2), np.float32))[0]["state"] for _ in range(5)]
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all()

    learner = ActorCritic(model, ActorCriticConfig(horizon=3, critic_steps=1), seed=0)
    before = [parameter.clone() for parameter in learner.actor.parameters()]
    metrics = learner.update(dreams.state.clone())
    assert metrics["actor_norm"] > 0.0
    changed = zip(before, learner.actor.parameters(), strict=True)
    assert any(not torch.equal(old, new) for old, new in changed)

    image = np.zeros((64, 64, 3), np.uint8)
    seen = {"image": image, "state": np.zeros(14, np.float32)}
    search = PlannerConfig(mppi=MPPIConfig(search=WIDE))
    for policy in (PlannerPolicy(model, search), DreamPolicy(learner.mean_actor, model)):
        policy.reset()
        action = policy.act(seen)
        assert action.shape == (2,)
        assert np.abs(action).max() <= 1.0

    model.save_pretrained(tmp_path / "model")
    again = WorldModel.from_pretrained(tmp_path / "model")
    assert again.config == model.config
    noise = torch.zeros_like(dreams.state.latent_BCHW), torch.zeros_like(dreams.state.vector_BK)
    action_BA = torch.zeros(3, 2)
    states = [m.imagine_step(dreams.state, action_BA, noise=noise)[0] for m in (model, again)]
    assert torch.equal(states[0].latent_BCHW, states[1].latent_BCHW)
