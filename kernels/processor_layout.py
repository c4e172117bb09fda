"""Loops of a rollout's step for a processor that put values elsewhere; `processor` has the others.

Shapes: as in `processor`; C H W latent, p patch, N' patches a frame, K frames that a convolution
looks at, F the factor by which space grows.
"""

import numpy as np

from dreamdrive.kernels.processor import fast

ONE, ZERO, HALF = np.float32(1.0), np.float32(0.0), np.float32(0.5)


@fast
def _patch(b, y, x, p, H, W):
    """Returns the row of a pixel's patch, and the pixel's place there."""
    return (b * (H // p) + y // p) * (W // p) + x // p, (y % p) * p + x % p


@fast
def patchify(z, before, p, out):
    """Writes the patches of two latents (B, C, H, W) side by side, (B · N', 2 C p²)."""
    B, C, H, W = z.shape
    for b in range(B):
        for c in range(C):
            for y in range(H):
                for x in range(W):
                    row, place = _patch(b, y, x, p, H, W)
                    out[row, c * p * p + place] = z[b, c, y, x]
                    out[row, (C + c) * p * p + place] = before[b, c, y, x]


@fast
def unpatchify(patches, before, p, out):
    """Writes `before` plus the change that patches (B · N', C p²) hold, (B, C, H, W)."""
    B, C, H, W = before.shape
    for b in range(B):
        for c in range(C):
            for y in range(H):
                for x in range(W):
                    row, place = _patch(b, y, x, p, H, W)
                    out[b, c, y, x] = before[b, c, y, x] + patches[row, c * p * p + place]


@fast
def assemble(patches, extra, place, out):
    """Writes tokens (B, N, D): patches (B · N', D), then others (B, N - N', D), all with places."""
    B, N, D = out.shape
    count = N - extra.shape[1]
    for b in range(B):
        for n in range(count):
            for d in range(D):
                out[b, n, d] = patches[b * count + n, d] + place[n, d]
        for n in range(count, N):
            for d in range(D):
                out[b, n, d] = extra[b, n - count, d] + place[n, d]


@fast
def taps(x, cache, out, kept):
    """Writes each place's channels in the frames before and in this one; see `causal_conv`.

    Args:
        x: This frame, (B · H · W, C).
        cache: The frames before, oldest first, (B, K - 1, C, H, W).
        out: Result (B · H · W, K · C).
        kept: Result: the cache after this frame.
    """
    B, before, C, H, W = cache.shape
    for b in range(B):
        for k in range(before):
            for c in range(C):
                for i in range(H):
                    for j in range(W):
                        value = cache[b, k, c, i, j]
                        out[(b * H + i) * W + j, k * C + c] = value
                        if k > 0:
                            kept[b, k - 1, c, i, j] = value
        for i in range(H):
            for j in range(W):
                row = (b * H + i) * W + j
                for c in range(C):
                    out[row, before * C + c] = x[row, c]
                    kept[b, before - 1, c, i, j] = x[row, c]


@fast
def spread(x, factor, out):
    """Writes pixels (B, H · F, W · F, C) of rows (B · H · W, F · F · C): places, then channels."""
    B, tall, wide, C = out.shape
    for b in range(B):
        for i in range(tall):
            for j in range(wide):
                row, place = _patch(b, i, j, factor, tall, wide)
                for c in range(C):
                    out[b, i, j, c] = x[row, place * C + c]


@fast
def picture(x, factor, out):
    """As `spread`, from [-1, 1] to [0, 1], clipped."""
    B, tall, wide, C = out.shape
    for b in range(B):
        for i in range(tall):
            for j in range(wide):
                row, place = _patch(b, i, j, factor, tall, wide)
                for c in range(C):
                    value = x[row, place * C + c] * HALF + HALF
                    out[b, i, j, c] = max(min(value, ONE), ZERO)
