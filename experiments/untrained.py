"""Worlds that have learned nothing: the controls that a trained dream has to beat."""

import torch

from dreamdrive.config import from_dict, to_dict
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig


def untrained_dynamics(model: WorldModel, seed: int = 0) -> WorldModel:
    """Returns a model with the same tokenizer and with dynamics and heads as they are built.

    The transformer's residual starts at zero, so this world repeats the frame before.
    """
    torch.manual_seed(seed)
    config = from_dict(WorldModelConfig, to_dict(model.config))
    control = WorldModel(config)
    kept = {name: value for name, value in model.state_dict().items()
            if not name.startswith(("dynamics.", "heads."))}  # fmt: skip
    control.load_state_dict(kept, strict=False)
    return control.to(model.device).eval().requires_grad_(False)


def randomised_dynamics(model: WorldModel, seed: int = 0) -> WorldModel:
    """Returns a model whose dynamics and heads keep the spread of their weights, but not the order.

    Every tensor's entries are shuffled, so that activations and outputs have a trained model's size
    and no meaning.
    """
    control = untrained_dynamics(model, seed)
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for name, value in state.items():
        if name.startswith(("dynamics.", "heads.")) and value.is_floating_point():
            order = torch.randperm(value.numel(), generator=generator)
            state[name] = value.flatten()[order.to(value.device)].view_as(value)
    control.load_state_dict(state)
    return control
