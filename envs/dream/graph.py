"""The step of many dreams captured as one CUDA graph: one launch for everything in it."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from dreamdrive.envs.dream.program import DreamProgram, Stepped

WARM_UP_STEPS = 3
"""Before capture: kernels are compiled and libraries choose their algorithms outside the graph."""


class GraphedStep:
    """`DreamProgram.step` as a graph, captured at its first call.

    Args:
        program: Whose buffers the graph writes to; they may be written to from outside between two
            calls, but not replaced.
    """

    def __init__(self, program: DreamProgram) -> None:
        self.program = program
        self._graph: Any = None
        self._action_BA: Tensor | None = None
        self._out: Stepped | None = None
        self._had_bank = False

    def __call__(self, action_BA: Tensor) -> Stepped:
        """Moves all dreams by one decision.

        Returns:
            Tensors of the graph's own memory, which the next call writes to.
        """
        has_bank = self.program.bank is not None
        if self._graph is None or self._had_bank != has_bank:
            self._had_bank = has_bank
            self._capture(action_BA)
        assert self._action_BA is not None
        self._action_BA.copy_(action_BA)
        self._graph.replay()
        assert self._out is not None
        return self._out

    def _capture(self, action_BA: Tensor) -> None:
        program = self.program
        self._action_BA = action_BA.clone()
        kept = program.copy_of()
        stream = torch.cuda.Stream(program.model.device)
        stream.wait_stream(torch.cuda.current_stream(program.model.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                program.step(self._action_BA)
            program.put_back(kept)
        torch.cuda.current_stream(program.model.device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._out = program.step(self._action_BA)


def copy_of(stepped: Stepped) -> Stepped:
    """Returns copies of the tensors of a step, which the next one does not write to."""
    copied: Stepped = tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, stepped)
    return copied
