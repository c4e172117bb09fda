"""Keys and values of dreams that are learned through: a place for every frame of a dream.

No frame is written over before its gradient has come back, and none is ever copied. All tokens of
all dreams lie side by side (`kernels.processor_time`).

Shapes: R tokens of all dreams, B · N; L time layers, S places, others as in `processor_time`.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dreamdrive.kernels import processor_time
from dreamdrive.kernels.processor import softmax_of_lines
from dreamdrive.worldmodel.blocks import Ring
from dreamdrive.worldmodel.dynamics import Dynamics


class Lines(NamedTuple):
    """Keys and values, or their changes, each (L, S, G, P, R)."""

    key: Any
    value: Any


class TimeLines:
    """Attention over time of B dreams of at most T decisions, forth and back.

    Args:
        network: The transformer.
        batch_size: B.
        horizon: T.
        frequency: Of the angles that a head turns by from frame to frame, float64 (P/2,).
        epsilon: Of the norm of queries and keys.
    """

    def __init__(
        self, network: Dynamics, batch_size: int, horizon: int, frequency: Tensor, epsilon: Any
    ) -> None:
        config = network.config
        B, N, W, T = batch_size, network.num_tokens, config.window, horizon
        M, G, P = config.num_heads, config.num_key_heads, config.width // config.num_heads
        self._sizes, self._frequency, self._epsilon = (B, N, W, T), frequency, epsilon
        R, shape = B * N, (config.num_time_layers, W - 1 + T, G, P, B * N)

        def made(*shape: int) -> Any:
            return np.zeros(shape, np.float32)

        self._lines, self._changes = (Lines(made(*shape), made(*shape)) for _ in range(2))
        self._query, self._read, self._inverse = made(M, P, R), made(M, P, R), made(M + G, R)
        self._slope, self._changed = made(M, W, R), made((M + 2 * G) * P, R)
        self._rows = made(R), made(R)

    def begin(self, ring: Ring) -> None:
        """Takes in the frames before the dreams."""
        B, N, W, T = self._sizes
        self._start_B = ring.count_B.clone()
        frame_BW = ring.count_B[:, None] - (W - 1) + torch.arange(W - 1)
        for line, kept in zip(self._lines, ring[:2], strict=True):
            past = torch.from_numpy(line)[:, : W - 1].unflatten(-1, (B, N))
            past.copy_(_slots(kept, frame_BW % W).permute(1, 4, 3, 5, 0, 2))
        for change in self._changes:
            change[:, W - 1 :] = 0.0
        time_TB = self._start_B + torch.arange(T)[:, None]
        angle = time_TB[:, None] * self._frequency[:, None]
        self._cos, self._sin = (
            x.float().repeat_interleave(N, -1).numpy() for x in (angle.cos(), angle.sin())
        )
        self._first = (W - 1 - time_TB).clamp(min=0).repeat_interleave(N, -1).numpy()
        self._oldest = self._first.min(1).tolist()

    def end(self, written: int) -> Ring:
        """Returns the rings after so many decisions; no gradient goes through them."""
        B, N, W, _ = self._sizes
        count_B = self._start_B + written
        age_BW = (count_B[:, None] - 1 - torch.arange(W)) % W
        at_BW = (written + W - 2 - age_BW).clamp(min=0)
        kept = []
        for line in self._lines:
            across = torch.from_numpy(line).unflatten(-1, (B, N))
            kept.append(_slots(across.permute(4, 0, 5, 2, 1, 3), at_BW))
        return Ring(kept[0], kept[1], count_B)

    def attend(self, layer: int, step: int, qkv: Any, scales: Any, out: Any) -> tuple[Any, Any]:
        """Writes this frame to the lines, and what the tokens read there, (R, M · P).

        Args:
            layer: Of the L.
            step: Decisions before this one.
            qkv: Queries, keys and values, (R, E), before norm and rotation.
            scales: Of queries and keys, (P,) each.
            out: Result.

        Returns:
            What the gradient needs: `qkv` across, and the weights.
        """
        key, value = (line[layer] for line in self._lines)
        at, oldest = step + self._sizes[2] - 1, self._oldest[step]
        across = _turned(qkv)
        self._turn(across, scales, step, key[at], value[at])
        weights = np.empty_like(self._slope)
        processor_time.score(self._query, key, at, oldest, weights)
        softmax_of_lines(weights, self._first[step], oldest, *self._rows)
        processor_time.read(weights, value, at, oldest, self._read)
        torch.from_numpy(out).copy_(_flat(self._read).T)
        return across, weights

    def attend_back(
        self, layer: int, step: int, kept: tuple[Any, Any], scales: Any, change: Any,
        scale_sums: Any, out: Any,
    ) -> None:  # fmt: skip
        """Writes the change of queries, keys and values of a frame, and adds that of earlier ones.

        Later frames must have been there before: what they read of this one is in the changes.

        Args:
            layer: As in `attend`, and likewise `step` and `scales`.
            kept: What `attend` returned.
            change: Of what was read, (R, M · P).
            scale_sums: The change of the scales, (2, P), added to.
            out: Result (R, E).
        """
        key, value = (line[layer] for line in self._lines)
        key_change, value_change = (line[layer] for line in self._changes)
        W, at, oldest = self._sizes[2], step + self._sizes[2] - 1, self._oldest[step]
        (across, weights), own = kept, max(W - 1 - step, oldest)
        self._turn(across, scales, step, key[at], value[at])
        _flat(self._read).copy_(torch.from_numpy(change).T)
        processor_time.read_back(
            weights, value, self._read, at, oldest, own, self._slope, value_change
        )
        processor_time.softmax_back(weights, oldest, self._rows[0], self._slope)
        processor_time.score_back(
            self._slope, self._query, key, at, oldest, own, self._read, key_change
        )
        processor_time.turn_back(
            across, *scales, self._cos[step], self._sin[step], self._inverse, self._read,
            key_change[at], value_change[at], self._rows[0], scale_sums, self._changed,
        )  # fmt: skip
        torch.from_numpy(out).copy_(torch.from_numpy(self._changed).T)

    def _turn(self, across: Any, scales: Any, step: int, key: Any, value: Any) -> None:
        processor_time.turn(
            across, *scales, self._cos[step], self._sin[step], self._epsilon, self._inverse,
            self._query, key, value,
        )  # fmt: skip


def _turned(rows: Any) -> Any:
    """Returns rows (R, E) across, (E, R)."""
    return torch.from_numpy(rows).T.contiguous().numpy()


def _flat(heads: Any) -> Tensor:
    """Returns heads (M, P, R) as (M · P, R)."""
    return torch.from_numpy(heads).flatten(0, 1)


def _slots(ring_BLNGWP: Tensor, slot_BS: Tensor) -> Tensor:
    """Returns some slots of each row's ring, (B, L, N, G, S, P)."""
    B, L, N, G, _, P = ring_BLNGWP.shape
    index = slot_BS[:, None, None, None, :, None].expand(B, L, N, G, -1, P)
    return ring_BLNGWP.gather(4, index)
