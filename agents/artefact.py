"""A trained policy on disk, with the world model that it sees through.

A policy's folder holds `config.json`, `actor.safetensors`, `worldmodel/`, itself a checkpoint, and
where training may go on or a planner may ask for values, `critic.safetensors`. A shipped policy
names a shipped world model instead of holding one.
"""

import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dreamdrive import checkpoint
from dreamdrive.agents.networks import Actor, Critic, NetworkConfig
from dreamdrive.agents.policy import Observation
from dreamdrive.config import from_dict, to_dict
from dreamdrive.errors import CheckpointError, StorageError
from dreamdrive.worldmodel.model import WorldModel, find_checkpoint

SHIPPED = Path(__file__).parent / "checkpoints"
DEFAULT = "dreamdrive-cpu-agent"
"""The shipped policy."""

KIND = "DreamPolicy"
MODEL_FOLDER = "worldmodel"


def save_policy(
    folder: str | Path,
    actor: Actor,
    model: WorldModel | str,
    critic: Critic | None = None,
    **facts: Any,
) -> None:
    """Writes a policy and its world model as one folder, replacing an older one at the end.

    Args:
        folder: Where.
        actor: The policy network.
        model: The world model whose features it reads, or a shipped one's name.
        critic: Its critic, of the same configuration.
        **facts: JSON facts for the header: step, metrics.

    Raises:
        StorageError: If it could not be written; an older policy is intact.
    """
    folder = Path(folder)
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    old = aside.with_suffix(".old")
    try:
        tensors = {"actor": actor.state_dict()}
        if critic is not None:
            tensors["critic"] = critic.state_dict()
        if isinstance(model, str):
            facts[MODEL_FOLDER] = model
        checkpoint.save_checkpoint(aside, KIND, to_dict(actor.config), tensors, **facts)
        if isinstance(model, WorldModel):
            model.save_pretrained(aside / MODEL_FOLDER)
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"Could not write the policy: {error}", where=folder) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def find_policy(name_or_path: str | Path) -> Path:
    """Returns the folder of a policy: a path where there is one, else a shipped name.

    Raises:
        CheckpointError: If there is neither.
    """
    return checkpoint.find_checkpoint(name_or_path, SHIPPED)


def find_worldmodel(name_or_path: str | Path) -> Path:
    """Returns the folder of the world model that a policy sees through.

    Raises:
        CheckpointError: If there is no such policy.
    """
    folder = find_policy(name_or_path)
    name = checkpoint.load_header(folder, KIND).get(MODEL_FOLDER)
    return folder / MODEL_FOLDER if name is None else find_checkpoint(name)


def load_policy(
    name_or_path: str | Path, device: str | torch.device = "cpu"
) -> tuple[Actor, WorldModel]:
    """Returns the actor and the world model of a policy, in evaluation mode.

    Args:
        name_or_path: A shipped policy's name, or a folder that `save_policy` wrote.
        device: Where to put them.

    Raises:
        CheckpointError: If a part is missing, truncated, or does not fit.
    """
    folder = find_policy(name_or_path)
    config = _network_config(folder)
    model = WorldModel.from_pretrained(find_worldmodel(folder), device)
    actor = Actor.for_model(model, config)
    _fill(actor, folder, "actor")
    return actor.eval().requires_grad_(False), model


def load_critic(name_or_path: str | Path, model: WorldModel) -> Critic:
    """Returns the critic of a policy, for the world model that `load_policy` returned.

    Raises:
        CheckpointError: If the policy has none, or it does not fit.
    """
    folder = find_policy(name_or_path)
    critic = Critic.for_model(model, _network_config(folder))
    _fill(critic, folder, "critic")
    return critic.eval().requires_grad_(False)


def _network_config(folder: Path) -> NetworkConfig:
    header = checkpoint.load_header(folder, KIND)
    return from_dict(NetworkConfig, header["config"], f"{folder}/config.json")


def _fill(network: Actor | Critic, folder: Path, name: str) -> None:
    try:
        network.load_state_dict(checkpoint.load_tensors(folder, name))
    except RuntimeError as error:
        text = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"The weights do not fit: {text}", where=folder) from error


class DreamPolicy:
    """A trained actor that sees through its world model's encoder, frame by frame.

    Args:
        actor: The policy network.
        model: The world model whose features it reads.
        deterministic: Take the mode; else draw.
        seed: Fixes the draws, together with the number of the episode.
    """

    def __init__(
        self, actor: Actor, model: WorldModel, *, deterministic: bool = True, seed: int = 0
    ) -> None:
        self.actor, self.model, self.deterministic = actor, model, deterministic
        self._generator = torch.Generator(model.device).manual_seed(seed)
        self.reset()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT,
        device: str | torch.device = "cpu",
        *,
        deterministic: bool = True,
        seed: int = 0,
    ) -> "DreamPolicy":
        """Returns a shipped policy, or that of a folder that `save_policy` wrote.

        Raises:
            CheckpointError: If a part is missing, truncated, or does not fit.
        """
        return cls(*load_policy(name_or_path, device), deterministic=deterministic, seed=seed)

    def reset(self) -> None:
        """Forgets the frames of the episode before."""
        self._state, self._is_first = self.model.init_state(1), True

    @torch.no_grad()
    def act(self, observation: Observation) -> NDArray[np.float32]:
        """Returns the action (steer, acceleration), shape (2,), in [-1, 1].

        Args:
            observation: `image`: uint8 (H, W, 3); `state`: float32 (K,).
        """
        device = self.model.device
        image = torch.as_tensor(observation["image"], device=device).permute(2, 0, 1)[None]
        vector = torch.as_tensor(observation["state"], device=device).float()[None]
        if self.actor.config.use_image:
            state = self._state
            latent, cache = self.model.encode_stream(image.float() / 255.0, state.encoder_cache)
            follow = state.beginning_with if self._is_first else state.followed_by
            self._state, self._is_first = follow(latent)._replace(encoder_cache=cache), False
        policy = self.actor(self._state.seen, vector)
        if self.deterministic:
            action = policy.mode
        else:
            noise = torch.randn(policy.mean.shape, generator=self._generator, device=device)
            action = policy.sample(noise).tanh()
        drawn: NDArray[np.float32] = action[0].cpu().numpy()
        return drawn
