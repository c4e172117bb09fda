"""How far sets of clips are from each other, by the features of a network that learned nothing.

The network is fixed by a seed: three 3D convolutions with random weights, whose activations are
averaged over space; their mean and spread over time are the features. It has seen no data, so it
favours no model; it sees motion, edges and colours, and no meaning. Figures compare with each
other, not with published FVDs, whose network learned human actions.

Reference:
    Unterthiner et al. 2018, arXiv:1812.01717 (FVD); Naeem et al. 2020, arXiv:2002.09797 (embeddings
    by networks with random weights, for data that learned ones do not know).
"""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

CLIP = 8
"""Frames of a clip."""
CHANNELS = (16, 32, 32)
BATCH = 32
"""Clips that go through the network at once."""


@cache
def _weights() -> tuple[Tensor, ...]:
    """Returns the kernels, with the variance that keeps activations as large as they were."""
    generator = torch.Generator().manual_seed(0)
    kernels, before = [], 3
    for channels in CHANNELS:
        kernel = torch.randn(channels, before, 3, 3, 3, generator=generator)
        kernels.append(kernel * (2.0 / (27 * before)) ** 0.5)
        before = channels
    return tuple(kernels)


@torch.no_grad()
def features(clip_BTHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Returns a vector for each clip of `CLIP` frames, shape (B, 2 CHANNELS[-1])."""
    found = []
    for part in torch.from_numpy(clip_BTHWC).split(BATCH):
        x = part.movedim(-1, 1).float() / 127.5 - 1.0
        for number, kernel in enumerate(_weights()):
            x = F.leaky_relu(F.conv3d(x, kernel, stride=(1 + number % 2, 2, 2), padding=1), 0.2)
        over_space = x.mean((3, 4))
        found.append(torch.cat([over_space.mean(2), over_space.std(2)], 1))
    stacked: NDArray[np.float64] = torch.cat(found).double().numpy()
    return stacked


def distance(a_BE: NDArray[np.float64], reference_BE: NDArray[np.float64]) -> float:
    """Returns the Fréchet distance of Gaussians over two sets of features.

    |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½), each feature in units of its spread in the reference.
    It does not reach 0 for two draws from one source; what it then is depends on how many they are.
    """
    spread = reference_BE.std(0).clip(1e-9)
    a, b = a_BE / spread, reference_BE / spread
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    value, vector = np.linalg.eigh(first)
    root = (vector * np.sqrt(value.clip(0.0))) @ vector.T
    product = np.linalg.eigvalsh(root @ second @ root)
    traces = np.trace(first) + np.trace(second) - 2.0 * np.sqrt(product.clip(0.0)).sum()
    return max(0.0, float(((a.mean(0) - b.mean(0)) ** 2).sum() + traces))
