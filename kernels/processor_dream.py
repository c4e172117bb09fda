"""Loops of a dream's step for a processor that stand before and after the model's own.

Noise, ends and costs of a few dreams are some dozens of operations on a handful of numbers, and
each costs PyTorch more to call than to compute. `envs.dream` has the meaning of each in plain torch
(`NoiseStreams`, `DreamProgram`, `CostMeter`), and a test holds both to each other.

Shapes: B dreams, K entries of the vector, J causes, H remembered motions.

Reference:
    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; Steele et al. 2014 (the
    finaliser); Cephes' logf, sinf and cosf, by polynomials: errors below 2e-7.
"""

import numpy as np

from dreamdrive.kernels.processor import fast

U = np.uint64
GOLDEN, FIRST, SECOND = U(0x9E3779B97F4A7C15), U(0xBF58476D1CE4E5B9), U(0x94D049BB133111EB)
LOW_HALF, S27, S30, S31, S32 = U(2**32 - 1), U(27), U(30), U(31), U(32)
ONE, ZERO, HALF, TWO, FOUR = (np.float32(x) for x in (1.0, 0.0, 0.5, 2.0, 4.0))
STEP = np.float32(2.0**-32)
QUARTER_TURN, ROOT_HALF = np.float32(np.pi / 2.0), np.float32(np.sqrt(0.5))
LN_2, SMALL = np.float32(np.log(2.0)), np.float32(1e-5)
L0, L1, L2 = np.float32(7.0376836292e-2), np.float32(-1.1514610310e-1), np.float32(1.1676998740e-1)
L3, L4, L5 = np.float32(-1.2420140846e-1), np.float32(1.4249322787e-1), np.float32(-1.6668057665e-1)
L6, L7, L8 = np.float32(2.0000714765e-1), np.float32(-2.4999993993e-1), np.float32(3.3333331174e-1)
S1, S2, S3 = np.float32(-1.6666654611e-1), np.float32(8.3321608736e-3), np.float32(-1.9515295891e-4)
C1, C2, C3 = np.float32(4.1666645683e-2), np.float32(-1.3887316255e-3), np.float32(2.4433157118e-5)
EXPONENT, MANTISSA, BIAS = np.int32(23), np.int32(0x7FFFFF), np.int32(127)
MEAN_SQUARE_SHARE = np.float32(0.05)


@fast
def _mix(z):
    """Returns a hash of a 64-bit number."""
    z = (z ^ (z >> S30)) * FIRST
    z = (z ^ (z >> S27)) * SECOND
    return z ^ (z >> S31)


@fast
def _unit(bits):
    """Returns a number in (0, 1] of 32 bits."""
    return (np.float32(bits) + ONE) * STEP


@fast
def logarithm(x):
    """Returns ln x of a normal number above 0."""
    bits = np.float32(x).view(np.int32)
    power = np.float32((bits >> EXPONENT) - BIAS)
    m = np.int32((bits & MANTISSA) | (BIAS << EXPONENT)).view(np.float32) * HALF
    is_low = m < ROOT_HALF
    m = (m + m if is_low else m) - ONE
    power = power if is_low else power + ONE
    z = m * m
    tail = (((L0 * m + L1) * m + L2) * m + L3) * m + L4
    tail = (((tail * m + L5) * m + L6) * m + L7) * m + L8
    return m + (m * z * tail - HALF * z) + power * LN_2


@fast
def sine_cosine(turns):
    """Returns the sine and the cosine of 2 π times a number in [0, 1]."""
    quarters = turns * FOUR
    whole = np.floor(quarters + HALF)
    x = (quarters - whole) * QUARTER_TURN
    z = x * x
    sine = x + x * z * ((S3 * z + S2) * z + S1)
    cosine = ONE - HALF * z + z * z * ((C3 * z + C2) * z + C1)
    quadrant = np.int32(whole)
    is_turned = (quadrant & np.int32(1)) != 0
    a = cosine if is_turned else sine
    b = sine if is_turned else cosine
    a = -a if (quadrant & np.int32(2)) != 0 else a
    b = -b if ((quadrant + np.int32(1)) & np.int32(2)) != 0 else b
    return a, b


@fast
def normals(seed, episode, step, scratch, first, second):
    """Writes unit Gaussians of one step of each dream; see `NoiseStreams.normals`.

    Args:
        seed: uint64 (B,), and likewise `episode` and `step`.
        scratch: float32 (2, N'), half as many as a dream's numbers, rounded up.
        first: float32 (B, N) contiguous: the first N numbers of each.
        second: float32 (B, K) contiguous: the K after them.
    """
    half, N, K = scratch.shape[1], first.shape[1], second.shape[1]
    for b in range(seed.shape[0]):
        key = _mix(_mix(seed[b] + GOLDEN * episode[b]) + GOLDEN * step[b])
        for i in range(half):
            bits = _mix(key + GOLDEN * U(i + 1))
            radius = np.sqrt(-TWO * logarithm(_unit(np.uint32(bits & LOW_HALF))))
            sine, cosine = sine_cosine(_unit(np.uint32(bits >> S32)))
            scratch[0, i] = radius * cosine
            scratch[1, i] = radius * sine
        for i in range(N + K):
            value = scratch[0, i] if i < half else scratch[1, i - half]
            if i < N:
                first[b, i] = value
            else:
                second[b, i - N] = value


@fast
def judge(
    termination, doubts, limits, seed, episode, step, max_steps, is_sampled, numbers, ended, cause
):
    """Writes which dreams end and why, and counts their steps; see `DreamProgram`.

    Args:
        termination: Probability of each cause, float32 (B, J).
        doubts: What may exceed the limits, two of float32 (B,).
        limits: float32 (2,), finite; the largest number where there is none.
        seed: uint64 (B,), and likewise `episode`.
        step: Decisions taken, int64 (B,); one more afterwards.
        max_steps: Decisions until the time limit.
        is_sampled: Whether ends are drawn; else they come above one half.
        numbers: Of the causes "time limit" and "uncertain".
        ended: Result, bool (2, B): terminated, truncated.
        cause: Result, int64 (B,): its number, 0 for none.
    """
    B, J = termination.shape
    for b in range(B):
        # In float64 and rounded once, as PyTorch sums.
        total, which = np.float64(0.0), 0
        if is_sampled:
            key = _mix(_mix(seed[b] + GOLDEN * episode[b]) + GOLDEN * U(-1 - step[b]))
            draw = _unit(np.uint32(_mix(key + GOLDEN) & LOW_HALF))
            for j in range(J):
                total += termination[b, j]
                if np.float32(total) <= draw:
                    which += 1
            is_over = draw < np.float32(total)
        else:
            for j in range(J):
                total += termination[b, j]
                if termination[b, j] > termination[b, which]:
                    which = j
            is_over = np.float32(total) > HALF
        step[b] += 1
        is_late = step[b] >= max_steps
        cause[b] = 1 + which if is_over else (numbers[0] if is_late else 0)
        ended[0, b], ended[1, b] = is_over, is_late and not is_over
        for i in range(2):
            if not is_over and doubts[i][b] > limits[i]:
                ended[1, b], cause[b] = True, numbers[1]


@fast
def driving_costs(
    vector, termination, is_hit, motion, known, places, low, high, span, span_s, overspeed, out
):
    """Writes collision, rule, progress and comfort of each dream; see `CostMeter.update`.

    Args:
        vector: float32 (B, K).
        termination: float32 (B, J).
        is_hit: Whether a cause is a collision, float32 (J,).
        motion: Speed and yaw rate of the last frames, float32 (B, H, 2), moved on by one.
        known: How many of them there are, int64 (B,), one more afterwards.
        places: In the vector, of speed, yaw rate, heading error and speed limit.
        low: Bounds of comfort, float32 (6,), and likewise `high`.
        span: Frames between those that differences are taken of.
        span_s: Seconds between them.
        overspeed: Excess over the limit that costs 1, m/s.
        out: Result, float32 (4, B).
    """
    B, H, _ = motion.shape
    signals = np.empty(6, np.float32)
    for b in range(B):
        speed, rate = vector[b, places[0]], vector[b, places[1]]
        heading, limit = vector[b, places[2]], vector[b, places[3]]
        for h in range(H - 1):
            motion[b, h, 0], motion[b, h, 1] = motion[b, h + 1, 0], motion[b, h + 1, 1]
        motion[b, H - 1, 0], motion[b, H - 1, 1] = speed, rate
        known[b] += 1
        hit, total = ZERO, ZERO
        for j in range(is_hit.shape[0]):
            hit += termination[b, j] * is_hit[j]
            total += termination[b, j]
        out[0, b] = hit
        out[1, b] = total - hit + max(min((speed - limit) / overspeed, ONE), ZERO)
        along = speed * np.cos(heading) / max(limit, SMALL)
        out[2, b] = ONE - max(min(along, ONE), ZERO)
        before, first = H - 1 - span, H - 1 - 2 * span
        enough = ONE if known[b] > span else ZERO
        plenty = ONE if known[b] > 2 * span else ZERO
        aside = speed * rate
        ahead = (speed - motion[b, before, 0]) / span_s
        ahead_before = (motion[b, before, 0] - motion[b, first, 0]) / span_s
        jerk = (ahead - ahead_before) / span_s * plenty
        side_jerk = (aside - motion[b, before, 0] * motion[b, before, 1]) / span_s * plenty
        signals[0], signals[1], signals[2] = ahead * enough, aside, rate
        signals[3], signals[4] = (rate - motion[b, before, 1]) / span_s * enough, jerk
        signals[5] = np.sqrt(jerk * jerk + side_jerk * side_jerk)
        excess, square = ZERO, ZERO
        for q in range(6):
            share = signals[q] / (low[q] if signals[q] < ZERO else high[q])
            beyond = max(share - ONE, ZERO)
            excess += beyond * beyond
            square += share * share
        out[3, b] = (excess + MEAN_SQUARE_SHARE * square) / np.float32(6.0)
