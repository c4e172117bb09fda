"""Gradients of a rollout's loops for a processor, compiled by numba; weights are frozen.

Each is the transpose of a loop in `processor`, for an agent that learns through the dream: what
comes out of it is what the loss changes with what went in. Attention reads earlier frames in lines
that only grow here, since a ring would have forgotten them when gradients come back. Nothing that
is compiled comes from `processor`, for the reason that it gives, so a head is turned here again.

Shapes: as in `processor`; S places of a line.
"""

import numpy as np

from dreamdrive.kernels.processor import fast

ONE, ZERO = np.float32(1.0), np.float32(0.0)
NEVER = np.float32(-1e30)
"""Score of a frame that is not there: its weight is 0."""


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
def gated_unit_back(gate_up, sigmoid, change, out):
    """Writes the change of gate and up, (R, 2 H), from that of silu(gate) · up, (R, H)."""
    R, H = change.shape
    for r in range(R):
        up, up_out = gate_up[r, H:], out[r, H:]
        for h in range(H):
            gate, slope = gate_up[r, h], sigmoid[r, h]
            out[r, h] = change[r, h] * up[h] * slope * (ONE + gate * (ONE - slope))
            up_out[h] = change[r, h] * gate * slope


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


@fast
def rotated(source, scale, cos, sin, epsilon, factor, out):
    """Writes a head with unit root mean square, scaled and turned; see `kernels.qk_rope`."""
    P = source.shape[0]
    half = P // 2
    squares = ZERO
    for p in range(P):
        squares += source[p] * source[p]
    inverse = factor / np.sqrt(squares / np.float32(P) + epsilon)
    low, high = source[:half], source[half:]
    low_scale, high_scale = scale[:half], scale[half:]
    low_out, high_out = out[:half], out[half:]
    for p in range(half):
        first = low[p] * inverse * low_scale[p]
        second = high[p] * inverse * high_scale[p]
        low_out[p] = first * cos[p] - second * sin[p]
        high_out[p] = first * sin[p] + second * cos[p]


@fast
def _rotated_back(source, scale, cos, sin, epsilon, factor, change, out):
    """Writes the change of a head from that of the head turned; `change` is overwritten."""
    P = source.shape[0]
    half = P // 2
    squares = ZERO
    for p in range(P):
        squares += source[p] * source[p]
    inverse = factor / np.sqrt(squares / np.float32(P) + epsilon)
    low, high = change[:half], change[half:]
    for p in range(half):
        first = low[p] * cos[p] + high[p] * sin[p]
        second = high[p] * cos[p] - low[p] * sin[p]
        low[p] = first
        high[p] = second
    along = ZERO
    for p in range(P):
        change[p] *= scale[p]
        along += change[p] * source[p]
    along *= inverse * inverse * inverse / (factor * factor * np.float32(P))
    for p in range(P):
        out[p] = inverse * change[p] - along * source[p]


@fast
def score_line(
    qkv, query_scale, key_scale, cos, sin, epsilon, seen, keys, values, at, query, weights
):
    """Writes this frame to the lines, and how near its queries are to the keys there.

    Args:
        qkv: As in `processor.attend_ring`, and likewise the scales and `epsilon`.
        cos: Of this frame's angles, (B, P/2), and likewise `sin`.
        seen: Frames that each dream reads, this one included, int64 (B,).
        keys: Of one layer, (B, N, G, S, P), and likewise `values`.
        at: This frame's place in the lines.
        query: Scratch (P,).
        weights: Result (R, M, W), oldest first, before the softmax.
    """
    B, N, G, _, P = keys.shape
    M, W = weights.shape[1:]
    group = M // G
    factor = ONE / np.sqrt(np.float32(P))
    for b in range(B):
        for n in range(N):
            row = b * N + n
            for g in range(G):
                source = qkv[row, (M + g) * P : (M + g + 1) * P]
                rotated(source, key_scale, cos[b], sin[b], epsilon, ONE, keys[b, n, g, at])
                source, place = qkv[row, (M + G + g) * P :], values[b, n, g, at]
                for p in range(P):
                    place[p] = source[p]
            for m in range(M):
                source = qkv[row, m * P : (m + 1) * P]
                rotated(source, query_scale, cos[b], sin[b], epsilon, factor, query)
                line, score = keys[b, n, m // group, at + 1 - W : at + 1], weights[row, m]
                for s in range(W):
                    total = ZERO
                    for p in range(P):
                        total += query[p] * line[s, p]
                    score[s] = total if s >= W - seen[b] else NEVER


@fast
def read_line(weights, values, at, out):
    """Writes what the tokens read from the lines, (R, M · P), by their weights (R, M, W)."""
    B, N, G, _, P = values.shape
    M, W = weights.shape[1:]
    group = M // G
    for b in range(B):
        for n in range(N):
            for m in range(M):
                line = values[b, n, m // group, at + 1 - W : at + 1]
                weight = weights[b * N + n, m]
                result = out[b * N + n, m * P : (m + 1) * P]
                for p in range(P):
                    result[p] = ZERO
                for s in range(W):
                    for p in range(P):
                        result[p] += weight[s] * line[s, p]


@fast
def attend_line_back(
    qkv, query_scale, key_scale, cos, sin, epsilon, weights, keys, values, at, change, query,
    spare, score, keys_change, values_change, out,
):  # fmt: skip
    """Writes the change of queries, keys and values of a frame, and adds that of earlier ones.

    Later frames must have been there before: what they read of this one is in the changes.

    Args:
        qkv: As in `score_line`, and likewise all up to `epsilon`.
        weights: As in `read_line`, and likewise `values` and `at`.
        keys: As `values`.
        change: Of what was read, (R, M · P).
        query: Scratch (P,), and likewise `spare`.
        score: Scratch (W,).
        keys_change: Of the keys, added to, and likewise `values_change`.
        out: Result, of the shape of `qkv`.
    """
    B, N, G, _, P = keys.shape
    M, W = weights.shape[1:]
    group = M // G
    factor = ONE / np.sqrt(np.float32(P))
    for b in range(B):
        for n in range(N):
            row = b * N + n
            for m in range(M):
                g = m // group
                source = qkv[row, m * P : (m + 1) * P]
                rotated(source, query_scale, cos[b], sin[b], epsilon, factor, query)
                weight, told = weights[row, m], change[row, m * P : (m + 1) * P]
                key = keys[b, n, g, at + 1 - W : at + 1]
                value = values[b, n, g, at + 1 - W : at + 1]
                key_change = keys_change[b, n, g, at + 1 - W : at + 1]
                value_change = values_change[b, n, g, at + 1 - W : at + 1]
                mean = ZERO
                for s in range(W):
                    total = ZERO
                    for p in range(P):
                        total += told[p] * value[s, p]
                        value_change[s, p] += weight[s] * told[p]
                    score[s] = total
                    mean += weight[s] * total
                for p in range(P):
                    spare[p] = ZERO
                for s in range(W):
                    slope = weight[s] * (score[s] - mean)
                    for p in range(P):
                        spare[p] += slope * key[s, p]
                        key_change[s, p] += slope * query[p]
                place = out[row, m * P : (m + 1) * P]
                _rotated_back(source, query_scale, cos[b], sin[b], epsilon, factor, spare, place)
            for g in range(G):
                source = qkv[row, (M + g) * P : (M + g + 1) * P]
                place = out[row, (M + g) * P : (M + g + 1) * P]
                told = keys_change[b, n, g, at]
                _rotated_back(source, key_scale, cos[b], sin[b], epsilon, ONE, told, place)
                place, told = out[row, (M + G + g) * P :], values_change[b, n, g, at]
                for p in range(P):
                    place[p] = told[p]
