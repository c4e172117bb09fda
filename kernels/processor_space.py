"""Attention within a frame for a processor, forth and back: loops around small matrix products.

The products of queries, keys and values of one dream and one key head are matrices of a few dozen
rows, for which NumPy calls its BLAS; norm, rotation, softmax and the moves between rows and heads
are loops. `kernels.attention` and `kernels.qk_rope` have the meaning.

Shapes: B batch, N tokens a frame, G key heads, J query heads of each, M = G · J, P head size, Q
rows (B · N, (M + 2 G) · P) of queries, keys and values.
"""

from typing import Any, NamedTuple

import numpy as np

from dreamdrive.kernels.processor import fast, softmax_of_frames

ONE, ZERO = np.float32(1.0), np.float32(0.0)


class Turning(NamedTuple):
    """How heads are normed and turned.

    Attributes:
        query_scale: (P,), and likewise `key_scale`.
        cos: Of the angles of the tokens, (N, P/2), and likewise `sin`.
        epsilon: Of the norm.
    """

    query_scale: Any
    key_scale: Any
    cos: Any
    sin: Any
    epsilon: Any


class Heads(NamedTuple):
    """Arrays of so many dreams: queries (B, G, J · N, P), keys and values (B, G, N, P)."""

    query: Any
    key: Any
    value: Any

    @classmethod
    def empty(cls, B: int, N: int, G: int, J: int, P: int) -> "Heads":
        """Returns room for them."""
        few = (B, G, N, P)
        return cls(*(np.zeros(x, np.float32) for x in ((B, G, J * N, P), few, few)))


def attend(qkv: Any, turning: Turning, heads: Heads, weights: Any, out: Any) -> None:
    """Writes what the tokens of each frame read from it; the last is read by itself alone.

    Args:
        qkv: Q, before norm and rotation.
        turning: How they are turned.
        heads: Scratch.
        weights: Result: how much each token reads of each, (B, G, J · N, N).
        out: Result (B · N, M · P).
    """
    turn(qkv, *turning, *heads)
    np.matmul(heads.query, heads.key.swapaxes(2, 3), out=weights)
    softmax_of_frames(weights)
    np.matmul(weights, heads.value, out=heads.query)
    to_rows(heads.query, out)


def attend_back(
    qkv: Any, turning: Turning, heads: Heads, changes: Heads, weights: Any, change: Any, slope: Any,
    scales: Any, out: Any,
) -> None:  # fmt: skip
    """Writes the change of queries, keys and values, and adds that of their scales.

    Args:
        qkv: As in `attend`, and likewise `turning` and `heads`.
        changes: Scratch.
        weights: What `attend` wrote.
        change: Of what was read, (B · N, M · P).
        slope: Scratch of the shape of `weights`.
        scales: Of queries and of keys, (2, P), added to.
        out: Result, of the shape of `qkv`.
    """
    turn(qkv, *turning, *heads)
    to_heads(change, changes.query)
    np.matmul(changes.query, heads.value.swapaxes(2, 3), out=slope)
    np.matmul(weights.swapaxes(2, 3), changes.query, out=changes.value)
    softmax_back(weights, slope)
    np.matmul(slope, heads.key, out=changes.query)
    np.matmul(slope.swapaxes(2, 3), heads.query, out=changes.key)
    turn_back(qkv, *turning, *changes, scales, out)


@fast
def _inverse(source, epsilon):
    """Returns one over the root mean square."""
    P = source.shape[0]
    squares = ZERO
    for p in range(P):
        squares += source[p] * source[p]
    return ONE / np.sqrt(squares / np.float32(P) + epsilon)


@fast
def turn(qkv, query_scale, key_scale, cos, sin, epsilon, query, key, value):
    """Writes queries, keys and values, normed and turned, queries over the root of P."""
    B, G, N, P = key.shape
    J, half = query.shape[2] // N, P // 2
    M = G * J
    factor = ONE / np.sqrt(np.float32(P))
    inverse = np.empty(M + G, np.float32)
    for b in range(B):
        for n in range(N):
            row = qkv[b * N + n]
            for m in range(M + G):
                inverse[m] = _inverse(row[m * P : (m + 1) * P], epsilon)
            for m in range(M + G):
                out = query[b, m // J, (m % J) * N + n] if m < M else key[b, m - M, n]
                scale = query_scale if m < M else key_scale
                low, high = row[m * P : m * P + half], row[m * P + half : (m + 1) * P]
                low_out, high_out = out[:half], out[half:]
                size = factor * inverse[m] if m < M else inverse[m]
                for p in range(half):
                    first, second = low[p] * scale[p] * size, high[p] * scale[half + p] * size
                    low_out[p] = first * cos[n, p] - second * sin[n, p]
                    high_out[p] = first * sin[n, p] + second * cos[n, p]
            for g in range(G):
                value[b, g, n, :] = row[(M + G + g) * P : (M + G + g + 1) * P]


@fast
def turn_back(qkv, query_scale, key_scale, cos, sin, epsilon, query, key, value, scales, out):
    """Writes the change of Q from those of queries, keys and values, which are overwritten.

    That of the scales is added to `scales`, (2, P).
    """
    B, G, N, P = key.shape
    J, half = query.shape[2] // N, P // 2
    M = G * J
    factor = ONE / np.sqrt(np.float32(P))
    inverse = np.empty(M + G, np.float32)
    for b in range(B):
        for n in range(N):
            row = qkv[b * N + n]
            for m in range(M + G):
                inverse[m] = _inverse(row[m * P : (m + 1) * P], epsilon)
            for m in range(M + G):
                told = query[b, m // J, (m % J) * N + n] if m < M else key[b, m - M, n]
                scale = query_scale if m < M else key_scale
                sums = scales[0] if m < M else scales[1]
                size = factor * inverse[m] if m < M else inverse[m]
                source, back = row[m * P : (m + 1) * P], out[b * N + n, m * P : (m + 1) * P]
                low, high = told[:half], told[half:]
                for p in range(half):
                    first = (low[p] * cos[n, p] + high[p] * sin[n, p]) * size
                    second = (high[p] * cos[n, p] - low[p] * sin[n, p]) * size
                    sums[p] += first * source[p]
                    sums[half + p] += second * source[half + p]
                    low[p] = first * scale[p]
                    high[p] = second * scale[half + p]
                along = ZERO
                for p in range(P):
                    along += told[p] * source[p]
                along *= inverse[m] * inverse[m] / np.float32(P)
                for p in range(P):
                    back[p] = told[p] - along * source[p]
            for g in range(G):
                out[b * N + n, (M + G + g) * P : (M + G + g + 1) * P] = value[b, g, n]


@fast
def softmax_back(weights, change):
    """Turns the change of weights (B, G, J · N, N) into that of scores, in place."""
    B, G, R, N = weights.shape
    rows, changes = weights.reshape(B * G * R, N), change.reshape(B * G * R, N)
    for r in range(B * G * R):
        row, back = rows[r], changes[r]
        mean = ZERO
        for j in range(N):
            mean += row[j] * back[j]
        for j in range(N):
            back[j] = row[j] * (back[j] - mean)


@fast
def to_rows(read, out):
    """Writes heads (B, G, J · N, P) as rows (B · N, M · P)."""
    B, G, R, P = read.shape
    N = out.shape[0] // B
    J = R // N
    for b in range(B):
        for n in range(N):
            for m in range(G * J):
                place, source = out[b * N + n, m * P :], read[b, m // J, (m % J) * N + n]
                for p in range(P):
                    place[p] = source[p]


@fast
def to_heads(rows, out):
    """Writes rows (B · N, M · P) as heads (B, G, J · N, P)."""
    B, G, R, P = out.shape
    N = rows.shape[0] // B
    J = R // N
    for b in range(B):
        for n in range(N):
            for m in range(G * J):
                source, place = rows[b * N + n, m * P :], out[b, m // J, (m % J) * N + n]
                for p in range(P):
                    place[p] = source[p]
