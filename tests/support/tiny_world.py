"""A tiny world model of untrained weights, with start contexts, saved as a checkpoint."""

from pathlib import Path

import numpy as np
import torch

from dreamdrive.driving.causes import TERMINATION_CAUSES
from dreamdrive.driving.palette import PALETTE
from dreamdrive.driving.state import IMAGE_SIZE, STATE_FIELDS, STATE_INDEX, STATE_SIZE
from dreamdrive.envs.dream.contexts import Contexts
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.heads import NUM_BINS
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig
from dreamdrive.worldmodel.tokenizer import TokenizerConfig

NUM_CONTEXTS = 5
CLIP_LENGTH = 3
CALM = 5.0
"""Added to the logit of no termination: about one step in twenty ends a dream."""


def tiny_model(seed: int = 0, *, lively: bool = True) -> WorldModel:
    """Returns a model of 64x64 frames; a lively one reacts to action and noise at every step."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = WorldModel(
            WorldModelConfig(
                vector_names=tuple(field.name for field in STATE_FIELDS),
                causes=TERMINATION_CAUSES,
                tokenizer=TokenizerConfig(latent_channels=4, width=4, coarse_width=8),
                transformer=DynamicsConfig(
                    width=32, num_layers=2, num_heads=2, num_key_heads=1, patch=4, window=4
                ),
            )
        )
        if lively:
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    torch.nn.init.normal_(parameter, std=0.1)
            for member in model.heads.members:
                member[-1].bias.data[NUM_BINS] += CALM
    model.vector_std.fill_(0.3)
    return model.eval().requires_grad_(False)


def tiny_contexts(seed: int = 0) -> Contexts:
    """Returns clips of a road with one vehicle on it that drives ahead at a speed of its own."""
    rng = np.random.default_rng(seed)
    image = np.zeros((NUM_CONTEXTS, CLIP_LENGTH, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    image[...] = PALETTE["outside"]
    image[:, :, :, 24:40] = PALETTE["road"]
    image[:, :, 45:51, 31:34] = PALETTE["ego"]
    vector = np.zeros((NUM_CONTEXTS, CLIP_LENGTH, STATE_SIZE), np.float32)
    vector[:, :, STATE_INDEX["speed_limit"]] = 8.0
    for i in range(NUM_CONTEXTS):
        row = 8 + 5 * i
        vector[i, :, STATE_INDEX["speed"]] = 2.0 + i
        for t in range(CLIP_LENGTH):
            image[i, t, row - t : row - t + 6, 31:34] = PALETTE["vehicle"]
    action = rng.uniform(-1.0, 1.0, (NUM_CONTEXTS, CLIP_LENGTH, 2)).astype(np.float32)
    action[:, 0] = 0.0
    return Contexts(image=image, vector=vector, action=action)


def save_tiny_world(folder: Path, seed: int = 0, *, lively: bool = True) -> Path:
    """Writes a tiny world model and its contexts as a checkpoint; returns its folder."""
    tiny_model(seed, lively=lively).save_pretrained(folder)
    tiny_contexts(seed).save(folder)
    return folder
