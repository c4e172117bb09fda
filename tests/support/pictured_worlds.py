"""Worlds that show the last real frame: as it was, or moved as the ego moves."""

import torch

from dreamdrive.experiments.truth_steering import driven, moved_picture
from support.point_mass import PointMassWorld


class StillWorld(PointMassWorld):
    """Shows the last real frame for ever."""

    def observe(self, state, image_BCHW, vector_BK, action_BA=None):
        self.last = image_BCHW
        return super().observe(state, image_BCHW, vector_BK, action_BA)

    def decode_step(self, state):
        return self.last, state

    def encode(self, image_BTCHW):
        return image_BTCHW

    def decode(self, latent_BTCHW):
        return latent_BTCHW


class TurningWorld(StillWorld):
    """Moves the last real frame as the ego moves."""

    def observe(self, state, image_BCHW, vector_BK, action_BA=None):
        self.vectors = []
        return super().observe(state, image_BCHW, vector_BK, action_BA)

    def decode_step(self, state):
        self.vectors.append(state.vector_BK)
        return moved_picture(self.last, *driven(torch.stack(self.vectors, 1))), state
