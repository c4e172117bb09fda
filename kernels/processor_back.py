"""Gradients of a rollout's loops for a processor, compiled by numba.

Each is the transpose of a loop in `processor`, for agents and models that learn through the dream:
what comes out of it is what the loss changes with what went in; that of attention is in
`processor_space` and `processor_time`. Shapes: as in `processor`.
"""

import numpy as np

from dreamdrive.kernels.processor import fast

ONE, ZERO = np.float32(1.0), np.float32(0.0)


@fast
def gated(x, branch, modulation, bias, which, gate, out):
    """Writes tokens (B, N, D) plus gate · branch; `gate` is scratch (D,)."""
    B, N, D = x.shape
    for b in range(B):
        for d in range(D):
            gate[d] = modulation[b, which * D + d] + bias[which * D + d]
        for n in range(N):
            row = branch[b * N + n]
            for d in range(D):
                out[b, n, d] = x[b, n, d] + gate[d] * row[d]


@fast
def gated_back(
    change, branch, modulation, bias, which, gate, total, branch_change, modulation_change
):
    """Writes the change of the branch (R, D), and adds that of the gate; both scratch are (D,)."""
    B, N, D = change.shape
    for b in range(B):
        for d in range(D):
            gate[d] = modulation[b, which * D + d] + bias[which * D + d]
            total[d] = ZERO
        for n in range(N):
            row, back = branch[b * N + n], branch_change[b * N + n]
            for d in range(D):
                total[d] += change[b, n, d] * row[d]
                back[d] = change[b, n, d] * gate[d]
        for d in range(D):
            modulation_change[b, which * D + d] += total[d]


@fast
def _norm_back(row, scaled, epsilon, out):
    """Adds the change of a row from that of its norm; returns the row's mean and inverse spread."""
    D = row.shape[0]
    total = ZERO
    for d in range(D):
        total += row[d]
    mean = total / np.float32(D)
    squares, first, second = ZERO, ZERO, ZERO
    for d in range(D):
        centred = row[d] - mean
        squares += centred * centred
        first += scaled[d]
        second += scaled[d] * centred
    inverse = ONE / np.sqrt(squares / np.float32(D) + epsilon)
    first /= np.float32(D)
    second *= inverse * inverse / np.float32(D)
    for d in range(D):
        out[d] += inverse * (scaled[d] - first - (row[d] - mean) * second)
    return mean, inverse


@fast
def modulate_back(
    x, modulation, bias, first, epsilon, change, scale, scaled, total, x_change, modulation_change
):
    """Adds the changes of tokens and modulation from that of norm(x) · (1 + scale) + shift.

    Args:
        x: Tokens (B, N, D).
        modulation: (B, 6 D), and `bias` (6 D,).
        first: The number of the shift among the six.
        epsilon: Of the norm.
        change: Of what came out, (R, D).
        scale: Scratch (D,), and likewise `scaled`.
        total: Scratch (2, D).
        x_change: Added to, (B, N, D).
        modulation_change: Added to, (B, 6 D).
    """
    B, N, D = x.shape
    shifts, scales = total[0], total[1]
    for b in range(B):
        for d in range(D):
            scale[d] = ONE + modulation[b, (first + 1) * D + d] + bias[(first + 1) * D + d]
            shifts[d] = ZERO
            scales[d] = ZERO
        for n in range(N):
            row, source = change[b * N + n], x[b, n]
            for d in range(D):
                scaled[d] = row[d] * scale[d]
            mean, inverse = _norm_back(source, scaled, epsilon, x_change[b, n])
            for d in range(D):
                shifts[d] += row[d]
                scales[d] += row[d] * (source[d] - mean) * inverse
        for d in range(D):
            modulation_change[b, first * D + d] += shifts[d]
            modulation_change[b, (first + 1) * D + d] += scales[d]


@fast
def affine_norm_back(x, weight, epsilon, change, scaled, out):
    """Adds the change of tokens (B, N, D) from that of their norm; `scaled` is scratch (D,)."""
    B, N, D = x.shape
    for b in range(B):
        for n in range(N):
            for d in range(D):
                scaled[d] = change[b, n, d] * weight[d]
            _norm_back(x[b, n], scaled, epsilon, out[b, n])
