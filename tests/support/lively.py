"""A small world model whose every weight matters, so that no part of a step can go missing."""

import torch

from dreamdrive.worldmodel.calibration import Calibration
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig
from dreamdrive.worldmodel.tokenizer import TokenizerConfig


def lively(kind: str = "transformer", **transformer) -> WorldModel:
    """A small model whose every weight matters."""
    sizes = {"width": 32, "num_layers": 4, "num_heads": 4, "num_key_heads": 2, "window": 3}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = WorldModel(
            WorldModelConfig(
                vector_names=("speed", "yaw_rate"), causes=("collision", "red_light"), kind=kind,
                quantities=("motion_ahead", "cost_progress"),
                calibration=Calibration(
                    threshold=0.5, disagreement=(1e-3, 1e-1, 1.0), probability=(0.1, 0.5, 0.9)
                ),
                tokenizer=TokenizerConfig(image_size=32, latent_channels=2, width=8,
                                          coarse_width=8),
                transformer=DynamicsConfig(**sizes | transformer),
            )
        )  # fmt: skip
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval().requires_grad_(False)
