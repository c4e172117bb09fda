"""Recurrence over training segments: keys and values of the segment before, without a gradient.

A long window is learned in segments that follow each other. What a layer computed for the last
frames of a segment is kept and read by the next one, at positions that go on, so that the network
learns to use what the ring cache of a rollout will hold, and what it learned from reaches back a
window for each layer, though the gradient stops at the segment's begin.

Reference:
    Dai et al. 2019, "Transformer-XL", arXiv:1901.02860, §3.2; the relative positions of its §3.3
    are rotary ones here, whose products depend on the distance alone.
"""

import torch
from torch import Tensor


class Recurrence:
    """What each layer keeps from one segment to the next; one object a pass over a long window.

    Args:
        window: Frames that a token sees, its own included; the segment before gives window - 1.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.start = 0
        """Number of the first frame of the current segment."""
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._next: dict[int, tuple[Tensor, Tensor]] = {}

    def extend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, tokens: int = 1
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns a layer's tensors with what was kept in front, and keeps their ends.

        Queries get zeros in front, so that all have one length; what those read is to be dropped.

        Args:
            layer: Which of the layers that read earlier frames.
            query: Rotated queries (R, S, M, P).
            key: Rotated keys (R, S, G, P).
            value: Values, likewise.
            tokens: Tokens of a frame in the sequence.
        """
        if layer in self._kept:
            keys, values = self._kept[layer]
            query = torch.cat(
                [query.new_zeros(len(query), keys.shape[1], *query.shape[2:]), query], 1
            )
            key, value = torch.cat([keys, key], 1), torch.cat([values, value], 1)
        last = (self.window - 1) * tokens
        self._next[layer] = tuple(x[:, max(0, x.shape[1] - last) :].detach() for x in (key, value))  # type: ignore[assignment]
        return query, key, value

    def advance(self, frames: int) -> None:
        """Makes the segment that was just seen, of so many frames, the one before."""
        self._kept, self._next = self._next, {}
        self.start += frames
