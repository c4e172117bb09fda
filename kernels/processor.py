"""Loops of a rollout's step for a processor, compiled by numba: what stands between its products.

PyTorch runs each addition, norm and rotation as a pass over memory of its own; these do in one pass
what belongs together, over arrays that are made once. Each has its meaning in plain torch in the
file of the operation that it names, and a test holds both to each other. Arrays are float32 and
contiguous. What is compiled is kept beside this file and compared with it alone, so nothing here
comes from another module.

Shapes: R rows B · N, B batch, N tokens a frame, D width, M query heads, G key heads, P head size,
W slots of the ring, C channels of a pixel. A modulation row holds six vectors: shift, scale, gate
for attention, then for SwiGLU.

Reference:
    Cephes' exp2f, by a polynomial of degree 6 on [-1/2, 1/2]: relative error below 3e-7.
"""

from typing import Any

import numpy as np
from numba import njit

ONE, ZERO, HALF = np.float32(1.0), np.float32(0.0), np.float32(0.5)
LOG2_E = np.float32(1.4426950408889634)
LEAST, MOST = np.float32(-126.0), np.float32(126.0)
C1, C2, C3 = np.float32(6.9314718056e-1), np.float32(2.4022650696e-1), np.float32(5.5504108665e-2)
C4, C5, C6 = np.float32(9.6181291076e-3), np.float32(1.3333558146e-3), np.float32(1.5403530393e-4)


def fast(function: Any) -> Any:
    """Returns a function compiled at its first call and kept on disk, sums in any order."""
    try:
        return njit(cache=True, fastmath=True, error_model="numpy", nogil=True)(function)
    except RuntimeError:  # No folder can be written to, neither the package's nor the user's.
        return njit(fastmath=True, error_model="numpy", nogil=True)(function)


@fast
def exponential(x):
    """Returns e^x, between 2^-126 and 2^126."""
    y = max(min(x * LOG2_E, MOST), LEAST)
    n = np.floor(y + HALF)
    f = y - n
    power = ((((((C6 * f + C5) * f + C4) * f + C3) * f + C2) * f) + C1) * f + ONE
    bits = (np.int32(n) + np.int32(127)) << np.int32(23)
    return power * np.int32(bits).view(np.float32)


@fast
def silu(x):
    """Returns x / (1 + e^-x)."""
    return x / (ONE + exponential(-x))


@fast
def _normalised(row, shift, scale, out, epsilon):
    D = row.shape[0]
    total = ZERO
    for d in range(D):
        total += row[d]
    mean = total / np.float32(D)
    squares = ZERO
    for d in range(D):
        squares += (row[d] - mean) * (row[d] - mean)
    inverse = ONE / np.sqrt(squares / np.float32(D) + epsilon)
    for d in range(D):
        out[d] = (row[d] - mean) * inverse * scale[d] + shift[d]


@fast
def modulate(x, modulation, bias, first, epsilon, shift, scale, out):
    """Writes norm(x) · (1 + scale) + shift, (B, N, D); see `kernels.adaln`.

    `first` is the number of the shift among the six; `shift` and `scale` are scratch (D,).
    """
    B, N, D = x.shape
    for b in range(B):
        for d in range(D):
            shift[d] = modulation[b, first * D + d] + bias[first * D + d]
            scale[d] = ONE + modulation[b, (first + 1) * D + d] + bias[(first + 1) * D + d]
        for n in range(N):
            _normalised(x[b, n], shift, scale, out[b * N + n], epsilon)


@fast
def add_gated(x, branch, modulation, bias, which):
    """Adds gate · branch to the tokens (B, N, D), in place; see `kernels.gated_residual`."""
    B, N, D = x.shape
    for b in range(B):
        for n in range(N):
            for d in range(D):
                gate = modulation[b, which * D + d] + bias[which * D + d]
                x[b, n, d] += gate * branch[b * N + n, d]


@fast
def affine_norm(x, weight, bias, epsilon, out):
    """Writes the layer norm of tokens (B, N, D) with its own weight and bias."""
    B, N, _ = x.shape
    for b in range(B):
        for n in range(N):
            _normalised(x[b, n], bias, weight, out[b, n], epsilon)


@fast
def gated_unit(gate_up, out):
    """Writes silu(gate) · up, (R, H) of (R, 2 H); see `kernels.swiglu`."""
    R, H = out.shape
    for r in range(R):
        for h in range(H):
            out[r, h] = silu(gate_up[r, h]) * gate_up[r, H + h]


@fast
def gated_unit_back(gate_up, change, out):
    """Writes the change of gate and up, (R, 2 H), from that of silu(gate) · up, (R, H).

    One result a loop: compilers make vectors of that, and of two at once they do not.
    """
    R, H = change.shape
    for r in range(R):
        gate, up, told = gate_up[r, :H], gate_up[r, H:], change[r]
        gate_out, up_out = out[r, :H], out[r, H:]
        for h in range(H):
            up_out[h] = ONE / (ONE + exponential(-gate[h]))
        for h in range(H):
            share = up_out[h]
            gate_out[h] = told[h] * up[h] * share * (ONE + gate[h] * (ONE - share))
        for h in range(H):
            up_out[h] *= told[h] * gate[h]


@fast
def _rotated(source, scale, cos, sin, epsilon, factor, out):
    """Writes a head with unit root mean square, scaled and turned; see `kernels.qk_rope`."""
    P = source.shape[0]
    half = P // 2
    squares = ZERO
    for p in range(P):
        squares += source[p] * source[p]
    inverse = factor / np.sqrt(squares / np.float32(P) + epsilon)
    for p in range(half):
        first = source[p] * inverse * scale[p]
        second = source[half + p] * inverse * scale[half + p]
        out[p] = first * cos[p] - second * sin[p]
        out[half + p] = first * sin[p] + second * cos[p]


@fast
def _softmax(score, count):
    """Turns the first scores into weights, in place."""
    largest = score[0]
    for j in range(count):
        largest = max(largest, score[j])
    total = ZERO
    for j in range(count):
        score[j] = exponential(score[j] - largest)
        total += score[j]
    inverse = ONE / total
    for j in range(count):
        score[j] *= inverse


@fast
def softmax_of_frames(score):
    """Turns scores (B, G, J · N, N) into weights, in place; the last token is read by itself alone.

    See `processor_space`.
    """
    B, G, R, N = score.shape
    rows = score.reshape(B * G * R, N)
    for r in range(B * G * R):
        row = rows[r]
        if r % N != N - 1:
            row[N - 1] = row[0]
        largest = row[0]
        for j in range(N):
            largest = max(largest, row[j])
        for j in range(N):
            row[j] -= largest
    flat = score.reshape(score.size)
    for i in range(flat.shape[0]):
        flat[i] = exponential(flat[i])
    for r in range(B * G * R):
        row = rows[r]
        if r % N != N - 1:
            row[N - 1] = ZERO
        total = ZERO
        for j in range(N):
            total += row[j]
        inverse = ONE / total
        for j in range(N):
            row[j] *= inverse


@fast
def softmax_of_lines(score, first, oldest, largest, total):
    """Turns scores (M, W, R) into weights, in place; see `processor_time`.

    Args:
        score: Oldest frames first.
        first: The first of the W that each token reads, int64 (R,).
        oldest: The least of them.
        largest: Scratch (R,), and likewise `total`.
    """
    M, W, R = score.shape
    for m in range(M):
        for r in range(R):
            largest[r] = score[m, W - 1, r]
            total[r] = ZERO
        for s in range(oldest, W):
            row = score[m, s]
            for r in range(R):
                largest[r] = max(largest[r], row[r] if s >= first[r] else largest[r])
        for s in range(oldest, W):
            row = score[m, s]
            for r in range(R):
                weight = exponential(row[r] - largest[r])
                row[r] = weight if s >= first[r] else ZERO
                total[r] += row[r]
        for r in range(R):
            total[r] = ONE / total[r]
        for s in range(oldest, W):
            row = score[m, s]
            for r in range(R):
                row[r] *= total[r]


@fast
def attend_ring(
    qkv,
    query_scale,
    key_scale,
    cos,
    sin,
    epsilon,
    count,
    keys,
    values,
    past_keys,
    past_values,
    past_row,
    start,
    layer,
    query,
    score,
    is_past,
    out,
):
    """Writes this frame to the rings, and what it reads there; see `kernels.ring_attention`.

    Args:
        qkv: Queries, keys and values, (B · N, (M + 2 G) P), before norm and rotation.
        query_scale: (P,), and likewise `key_scale`.
        cos: Of this frame's angles, (B, P/2), and likewise `sin`.
        epsilon: Of the norm of queries and keys.
        count: Frames written before this one, int64 (B,).
        keys: (B, L, N, G, W, P), and likewise `values`.
        past_keys: Of the rings that these are branches of, and likewise `past_values`; where they
            are branches of nothing, their own.
        past_row: The row of the past that each branch began at, int64 (B,).
        start: Frames in it then, int64 (B,): the frames since are the branch's own.
        layer: Which of the L time layers.
        query: Scratch (P,).
        score: Scratch (W,).
        is_past: Scratch, bool (W,).
        out: Result (B · N, M · P).
    """
    B, _, N, G, W, P = keys.shape
    M = out.shape[1] // P
    group = M // G
    factor = ONE / np.sqrt(np.float32(P))
    for b in range(B):
        slot = count[b] % W
        seen = min(count[b] + 1, W)
        past = past_row[b]
        for s in range(seen):
            is_past[s] = (count[b] - s) % W > count[b] - start[b]
        for n in range(N):
            row = qkv[b * N + n]
            for g in range(G):
                source = row[(M + g) * P : (M + g + 1) * P]
                place = keys[b, layer, n, g, slot]
                _rotated(source, key_scale, cos[b], sin[b], epsilon, ONE, place)
                for p in range(P):
                    values[b, layer, n, g, slot, p] = row[(M + G + g) * P + p]
            for m in range(M):
                g = m // group
                source = row[m * P : (m + 1) * P]
                _rotated(source, query_scale, cos[b], sin[b], epsilon, factor, query)
                for s in range(seen):
                    total = ZERO
                    if is_past[s]:
                        for p in range(P):
                            total += query[p] * past_keys[past, layer, n, g, s, p]
                    else:
                        for p in range(P):
                            total += query[p] * keys[b, layer, n, g, s, p]
                    score[s] = total
                _softmax(score, seen)
                result = out[b * N + n, m * P : (m + 1) * P]
                for p in range(P):
                    result[p] = ZERO
                for s in range(seen):
                    weight = score[s]
                    if is_past[s]:
                        for p in range(P):
                            result[p] += weight * past_values[past, layer, n, g, s, p]
                    else:
                        for p in range(P):
                            result[p] += weight * values[b, layer, n, g, s, p]


@fast
def unit_silu(x, scale, epsilon, out):
    """Writes silu of a decoder's rows (R, C) with unit root mean square, times a scale (C,)."""
    R, C = x.shape
    for r in range(R):
        squares = ZERO
        for c in range(C):
            squares += x[r, c] * x[r, c]
        inverse = ONE / np.sqrt(squares / np.float32(C) + epsilon)
        for c in range(C):
            out[r, c] = silu(x[r, c] * inverse * scale[c])


@fast
def add_silu(x, other):
    """Adds silu of others to rows (R, C), in place."""
    R, C = x.shape
    for r in range(R):
        for c in range(C):
            x[r, c] += silu(other[r, c])
