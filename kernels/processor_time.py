"""Attention over time for a processor, forth and back, with all tokens of all dreams side by side.

A token reads ten frames or so: too few for vectors, while a batch has a thousand tokens that do the
same. So everything here lies across: its last axis counts tokens, and the innermost loops run over
it. Keys and values lie in lines with a place for each frame of a dream, which only grow, since a
ring would have forgotten frames when gradients come back. `kernels.ring_attention` and
`kernels.qk_rope` have the meaning.

Shapes: R tokens of all dreams, M query heads, G key heads, P head size, E = (M + 2 G) · P, W places
that are read, S places of a line.
"""

import numpy as np

from dreamdrive.kernels.processor import fast

ONE, ZERO = np.float32(1.0), np.float32(0.0)


@fast
def _inverses(x, epsilon, out):
    """Writes one over the root mean square of heads (P, R)."""
    P, R = x.shape
    for r in range(R):
        out[r] = ZERO
    for p in range(P):
        row = x[p]
        for r in range(R):
            out[r] += row[r] * row[r]
    for r in range(R):
        out[r] = ONE / np.sqrt(out[r] / np.float32(P) + epsilon)


@fast
def turn(qkv, query_scale, key_scale, cos, sin, epsilon, inverse, query, key, value):
    """Writes queries, keys and values, normed and turned, queries over the root of P.

    Args:
        qkv: Before norm and rotation, (E, R).
        query_scale: (P,), and likewise `key_scale`.
        cos: Of the tokens' angles, (P/2, R), and likewise `sin`.
        epsilon: Of the norm.
        inverse: Result: one over the root mean square of each head, (M + G, R).
        query: Result (M, P, R).
        key: Result (G, P, R), and likewise `value`.
    """
    M, P, R = query.shape
    G, half = key.shape[0], P // 2
    factor = ONE / np.sqrt(np.float32(P))
    for m in range(M + G):
        source = qkv[m * P : (m + 1) * P]
        out = query[m] if m < M else key[m - M]
        scale = query_scale if m < M else key_scale
        size = factor if m < M else ONE
        _inverses(source, epsilon, inverse[m])
        for p in range(half):
            low, high, low_out, high_out = source[p], source[half + p], out[p], out[half + p]
            first, second = size * scale[p], size * scale[half + p]
            along, across, rate = cos[p], sin[p], inverse[m]
            for r in range(R):
                x, y = low[r] * first * rate[r], high[r] * second * rate[r]
                low_out[r] = x * along[r] - y * across[r]
                high_out[r] = x * across[r] + y * along[r]
    for g in range(G):
        for p in range(P):
            source, place = qkv[(M + G + g) * P + p], value[g, p]
            for r in range(R):
                place[r] = source[r]


@fast
def turn_back(
    qkv, query_scale, key_scale, cos, sin, inverse, query, key, value, along, scales, out
):
    """Writes the change of `qkv` from those of queries and keys, which are overwritten, and values.

    Args:
        qkv: As in `turn`, and likewise all up to `inverse`, which `turn` wrote.
        query: The change of the queries, (M, P, R).
        key: (G, P, R), and likewise `value`.
        along: Scratch (R,).
        scales: The change of the scales of queries and keys, (2, P), added to.
        out: Result (E, R).
    """
    M, P, R = query.shape
    G, half = key.shape[0], P // 2
    factor = ONE / np.sqrt(np.float32(P))
    for m in range(M + G):
        told = query[m] if m < M else key[m - M]
        scale = query_scale if m < M else key_scale
        sums = scales[0] if m < M else scales[1]
        size = factor if m < M else ONE
        rate = inverse[m]
        for r in range(R):
            along[r] = ZERO
        for p in range(half):
            low, high, c, s = told[p], told[half + p], cos[p], sin[p]
            below, above = qkv[m * P + p], qkv[m * P + half + p]
            first, second, low_sum, high_sum = scale[p], scale[half + p], ZERO, ZERO
            for r in range(R):
                x, y = low[r] * c[r] + high[r] * s[r], high[r] * c[r] - low[r] * s[r]
                x, y = x * size * rate[r], y * size * rate[r]
                low_sum += x * below[r]
                high_sum += y * above[r]
                x, y = x * first, y * second
                along[r] += x * below[r] + y * above[r]
                low[r], high[r] = x, y
            sums[p] += low_sum
            sums[half + p] += high_sum
        for r in range(R):
            along[r] *= rate[r] * rate[r] / np.float32(P)
        for p in range(P):
            source, back, row = qkv[m * P + p], out[m * P + p], told[p]
            for r in range(R):
                back[r] = row[r] - along[r] * source[r]
    for g in range(G):
        for p in range(P):
            place, source = out[(M + G + g) * P + p], value[g, p]
            for r in range(R):
                place[r] = source[r]


@fast
def score(query, keys, at, oldest, out):
    """Writes how near queries (M, P, R) are to the keys of a line (S, G, P, R), (M, W, R).

    Args:
        query: Of this frame.
        keys: Of one layer.
        at: This frame's place in the line, the last that is read.
        oldest: The first of the W places that any dream reads.
        out: Result, oldest first.
    """
    M, P, R = query.shape
    W, J, half = out.shape[1], M // keys.shape[1], P // 2
    for s in range(oldest, W):
        for m in range(M):
            line, row = keys[at + 1 - W + s, m // J], out[m, s]
            for r in range(R):
                row[r] = ZERO
            for p in range(half):
                a, b, c, d = query[m, p], line[p], query[m, half + p], line[half + p]
                for r in range(R):
                    row[r] += a[r] * b[r] + c[r] * d[r]


@fast
def read(weights, values, at, oldest, out):
    """Writes what the tokens read of a line (S, G, P, R) by their weights (M, W, R), (M, P, R)."""
    M, P, R = out.shape
    W, J = weights.shape[1], M // values.shape[1]
    for m in range(M):
        for p in range(P):
            row = out[m, p]
            for r in range(R):
                row[r] = ZERO
            for s in range(oldest, W):
                weight, source = weights[m, s], values[at + 1 - W + s, m // J, p]
                for r in range(R):
                    row[r] += weight[r] * source[r]


@fast
def read_back(weights, values, change, at, oldest, own, out, values_change):
    """Writes the change of the weights, and adds that of the values.

    Args:
        weights: As in `read`, and likewise `values`, `at` and `oldest`.
        change: Of what was read, (M, P, R).
        own: The first of the W places that is the dream's own: those before it learn nothing.
        out: Result (M, W, R).
        values_change: Of the values, added to.
    """
    M, P, R = change.shape
    W, J = weights.shape[1], M // values.shape[1]
    for s in range(oldest, W):
        for m in range(M):
            row, weight, place = out[m, s], weights[m, s], at + 1 - W + s
            for r in range(R):
                row[r] = ZERO
            for p in range(P):
                told, source = change[m, p], values[place, m // J, p]
                if s < own:
                    for r in range(R):
                        row[r] += told[r] * source[r]
                else:
                    back = values_change[place, m // J, p]
                    for r in range(R):
                        row[r] += told[r] * source[r]
                        back[r] += weight[r] * told[r]


@fast
def score_back(slope, query, keys, at, oldest, own, out, keys_change):
    """Writes the change of the queries, (M, P, R), and adds that of the keys.

    Args:
        slope: The change of the scores, (M, W, R).
        query: As in `score`, and likewise `keys`, `at` and `oldest`.
        own: As in `read_back`.
        out: Result.
        keys_change: Of the keys, added to.
    """
    M, P, R = query.shape
    W, J = slope.shape[1], M // keys.shape[1]
    for s in range(oldest, W):
        for m in range(M):
            change, place = slope[m, s], at + 1 - W + s
            for p in range(P):
                row, source, key = out[m, p], query[m, p], keys[place, m // J, p]
                if s == oldest:
                    for r in range(R):
                        row[r] = ZERO
                if s < own:
                    for r in range(R):
                        row[r] += change[r] * key[r]
                else:
                    back = keys_change[place, m // J, p]
                    for r in range(R):
                        row[r] += change[r] * key[r]
                        back[r] += change[r] * source[r]


@fast
def softmax_back(weights, oldest, mean, change):
    """Turns the change of weights (M, W, R) into that of scores, in place.

    Args:
        weights: As in `read`, and likewise `oldest`.
        mean: Scratch (R,).
        change: Of the weights, then of the scores.
    """
    M, W, R = weights.shape
    for m in range(M):
        for r in range(R):
            mean[r] = ZERO
        for s in range(oldest, W):
            weight, row = weights[m, s], change[m, s]
            for r in range(R):
                mean[r] += weight[r] * row[r]
        for s in range(oldest, W):
            weight, row = weights[m, s], change[m, s]
            for r in range(R):
                row[r] = weight[r] * (row[r] - mean[r])
