"""Kernel of `masked_rows_`: a program takes a run of values of one row, if the row is written."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


@triton.jit
def kernel(target_ptr, mask_ptr, source_ptr, index_ptr, E, BLOCK: tl.constexpr):
    """Writes BLOCK values of a row of E."""
    row = tl.program_id(0).to(tl.int64)
    if tl.load(mask_ptr + row) != 0:
        at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        source = tl.load(index_ptr + row)
        values = tl.load(source_ptr + source * E + at, mask=at < E)
        tl.store(target_ptr + row * E + at, values, mask=at < E)


def launch(target: Tensor, mask_B: Tensor, source: Tensor, index_B: Tensor) -> None:
    """Writes rows of `source` into `target`, both contiguous."""
    if target.numel() == 0:
        return
    num_values = target[0].numel()
    grid = (len(target), triton.cdiv(num_values, BLOCK))
    kernel[grid](
        target, mask_B.to(torch.int8), source, index_B, num_values, BLOCK=BLOCK, num_warps=4
    )
