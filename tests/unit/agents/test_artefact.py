import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamdrive.agents import artefact
from dreamdrive.agents.artefact import (
    DreamPolicy,
    find_worldmodel,
    load_critic,
    load_policy,
    save_policy,
)
from dreamdrive.agents.networks import Actor, Critic, NetworkConfig
from dreamdrive.agents.policy import Observation
from dreamdrive.errors import CheckpointError, StorageError
from dreamdrive.worldmodel import model as worldmodel
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig
from dreamdrive.worldmodel.state import LAG
from dreamdrive.worldmodel.tokenizer import TokenizerConfig

SMALL = NetworkConfig(width=16, channels=4)


def small_model() -> WorldModel:
    torch.manual_seed(0)
    model = WorldModel(
        WorldModelConfig(
            vector_names=("a", "b", "c"), causes=("crash",),
            tokenizer=TokenizerConfig(image_size=32, latent_channels=4, width=8, coarse_width=8),
            transformer=DynamicsConfig(width=32, num_layers=1, num_heads=2, num_key_heads=1),
        )
    )  # fmt: skip
    model.vector_mean += torch.tensor([1.0, 2.0, 3.0])
    return model.eval().requires_grad_(False)


def lively_actor(model: WorldModel, config: NetworkConfig = SMALL) -> Actor:
    torch.manual_seed(1)
    actor = Actor.for_model(model, config)
    torch.nn.init.normal_(actor.head.weight, std=0.5)
    return actor


def observations(number: int) -> list[Observation]:
    g = np.random.default_rng(0)
    return [
        {"image": g.integers(0, 256, (32, 32, 3), dtype=np.uint8),
         "state": g.standard_normal(3).astype(np.float32)}
        for _ in range(number)
    ]  # fmt: skip


def drive(policy: DreamPolicy, seen: list[Observation]) -> np.ndarray:
    policy.reset()
    return np.array([policy.act(observation) for observation in seen])


def test_a_loaded_policy_acts_as_the_saved_one(tmp_path: Path) -> None:
    model = small_model()
    actor = lively_actor(model)
    save_policy(tmp_path / "p", actor, model, step=7)
    expected = drive(DreamPolicy(actor, model), observations(4))
    actions = drive(DreamPolicy.load(tmp_path / "p"), observations(4))
    assert actions.dtype == np.float32
    np.testing.assert_array_equal(actions, expected)
    assert actions.std(0).min() > 1e-3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p"]


def test_the_policy_sees_the_streamed_latent() -> None:
    """Frame by frame it acts as the actor does on the latents of the whole clip."""
    model = small_model()
    actor, seen = lively_actor(model), observations(LAG + 3)
    image = torch.stack([torch.from_numpy(o["image"]) for o in seen]).permute(0, 3, 1, 2)
    vector = torch.stack([torch.from_numpy(o["state"]) for o in seen])
    with torch.no_grad():
        latent = model.encode(image[None] / 255.0)[0]
        earlier = latent[[max(0, t - LAG) for t in range(len(seen))]]
        expected = actor(torch.cat([latent, earlier], 1), vector).mode
    actions = drive(DreamPolicy(actor, model), seen)
    np.testing.assert_allclose(actions, expected.numpy(), atol=1e-5)


def test_reset_forgets_the_frames_before() -> None:
    model = small_model()
    policy, seen = DreamPolicy(lively_actor(model), model), observations(4)
    first = drive(policy, seen)
    np.testing.assert_array_equal(drive(policy, seen), first)
    unforgotten = np.array([policy.act(observation) for observation in seen])
    assert not np.array_equal(unforgotten, first)


def test_without_the_image_pixels_do_not_matter() -> None:
    model = small_model()
    actor = lively_actor(model, NetworkConfig(width=16, channels=4, use_image=False))
    seen = observations(3)
    dark = [o | {"image": np.zeros_like(o["image"])} for o in seen]
    policy = DreamPolicy(actor, model)
    np.testing.assert_array_equal(drive(policy, seen), drive(policy, dark))


def test_sampled_actions_follow_the_seed_and_differ_by_episode() -> None:
    model = small_model()
    actor, seen = lively_actor(model), observations(3)

    def two_episodes(seed: int) -> list[np.ndarray]:
        policy = DreamPolicy(actor, model, deterministic=False, seed=seed)
        return [drive(policy, seen), drive(policy, seen)]

    first = two_episodes(1)
    np.testing.assert_array_equal(first, two_episodes(1))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, two_episodes(2))


def test_a_critic_comes_back_and_its_absence_is_named(tmp_path: Path) -> None:
    model = small_model()
    torch.manual_seed(2)
    critic = Critic.for_model(model, SMALL)
    torch.nn.init.normal_(critic.head.weight)
    save_policy(tmp_path / "with", lively_actor(model), model, critic)
    save_policy(tmp_path / "without", lively_actor(model), model)
    loaded = load_critic(tmp_path / "with", load_policy(tmp_path / "with")[1])
    state = model.init_state(2)
    assert torch.equal(
        loaded.value(state.seen, state.vector_BK),
        critic.value(state.seen, state.vector_BK).detach(),
    )
    with pytest.raises(CheckpointError, match=r"missing.*critic"):
        load_critic(tmp_path / "without", model)


def test_saving_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    model = small_model()
    actor = lively_actor(model)
    save_policy(tmp_path / "p", actor, model)
    torch.nn.init.zeros_(actor.head.weight)
    save_policy(tmp_path / "p", actor, model)
    assert torch.equal(load_policy(tmp_path / "p")[0].head.weight, actor.head.weight)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p"]


def test_a_failed_save_keeps_the_older_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model()
    actor = lively_actor(model)
    save_policy(tmp_path / "p", actor, model)
    before = drive(DreamPolicy.load(tmp_path / "p"), observations(2))

    def full(*args: object, **facts: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WorldModel, "save_pretrained", full)
    with pytest.raises(StorageError, match="No space left"):
        save_policy(tmp_path / "p", actor, model)
    np.testing.assert_array_equal(drive(DreamPolicy.load(tmp_path / "p"), observations(2)), before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p"]


def test_broken_folders_are_named(tmp_path: Path) -> None:
    model = small_model()
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        DreamPolicy.load(tmp_path / "nothing")
    folder = tmp_path / "p"
    save_policy(folder, lively_actor(model), model)
    with pytest.raises(CheckpointError, match="not of DreamPolicy"):
        DreamPolicy.load(folder / "worldmodel")
    weights = folder / "actor.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="truncated"):
        DreamPolicy.load(folder)
    shutil.rmtree(folder / "worldmodel")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        DreamPolicy.load(folder)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorldModel:
    """A world model and an agent that come with the package, as `tiny` and `tiny-agent`."""
    monkeypatch.setattr(worldmodel, "SHIPPED", tmp_path / "worldmodels")
    monkeypatch.setattr(artefact, "SHIPPED", tmp_path / "agents")
    model = small_model()
    model.save_pretrained(tmp_path / "worldmodels" / "tiny")
    save_policy(tmp_path / "agents" / "tiny-agent", lively_actor(model), "tiny")
    return model


def test_a_shipped_policy_sees_through_the_shipped_world_model_that_it_names(
    shipped: WorldModel, tmp_path: Path
) -> None:
    expected = drive(DreamPolicy(lively_actor(shipped), shipped), observations(4))
    assert np.array_equal(drive(DreamPolicy.load("tiny-agent"), observations(4)), expected)
    assert find_worldmodel("tiny-agent") == tmp_path / "worldmodels" / "tiny"
    assert not (tmp_path / "agents" / "tiny-agent" / "worldmodel").exists()


def test_a_policy_of_its_own_world_model_is_found_by_its_folder(tmp_path: Path) -> None:
    model = small_model()
    save_policy(tmp_path / "p", lively_actor(model), model)
    assert find_worldmodel(tmp_path / "p") == tmp_path / "p" / "worldmodel"


def test_an_unknown_policy_names_the_shipped_ones(shipped: WorldModel) -> None:
    with pytest.raises(CheckpointError, match=r"no such checkpoint.*tiny-agent"):
        load_policy("tinier-agent")


def test_a_policy_whose_world_model_is_not_shipped_is_refused(
    shipped: WorldModel, tmp_path: Path
) -> None:
    save_policy(tmp_path / "p", lively_actor(shipped), "gone")
    with pytest.raises(CheckpointError, match=r"no such checkpoint.*gone"):
        load_policy(tmp_path / "p")
