"""Rows written in place where a mask says so: the reset of some dreams among many.

target_b ← source_{index_b} where mask_b, for several tensors at once. Which rows are written is
known to the device alone: no shape depends on it and nobody waits for it. On a GPU a program looks
at the mask and ends where its row stays, so that a step in which no dream ends moves nothing.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamdrive.errors import KernelError
from dreamdrive.kernels.dispatch import Backend, choose_backend


def reference(
    targets: Sequence[Tensor], mask_B: Tensor, sources: Sequence[Tensor], index_B: Tensor
) -> None:
    """Writes the rows in plain torch; arguments as `masked_rows_`."""
    for target, source in zip(targets, sources, strict=True):
        mask = mask_B.view(-1, *[1] * (target.dim() - 1))
        target.copy_(torch.where(mask, source[index_B].to(target.dtype), target))


def masked_rows_(
    targets: Sequence[Tensor],
    mask_B: Tensor,
    sources: Sequence[Tensor],
    index_B: Tensor,
    *,
    backend: Backend = "auto",
) -> None:
    """Writes rows of `sources` into the rows of `targets` that the mask names, in place.

    Args:
        targets: Tensors of B rows, contiguous.
        mask_B: Which rows are written, bool (B,).
        sources: One for each target, of any number of rows of the same shape and dtype.
        index_B: The row of the sources that each row takes, int64 (B,); read also where the mask is
            False, and in range there too.
        backend: "auto", "torch" or "triton"; see `dispatch`.

    Raises:
        KernelError: If shapes or dtypes do not agree or a target is not contiguous; with Triton by
            name, if the device cannot run it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    if len(targets) != len(sources):
        raise KernelError(f"{len(targets)} targets and {len(sources)} sources")
    for target, source in zip(targets, sources, strict=True):
        if (
            target.shape[1:] != source.shape[1:]
            or target.dtype != source.dtype
            or len(target) != len(mask_B)
            or not target.is_contiguous()
        ):
            raise KernelError(
                f"Rows of {source.dtype} {tuple(source.shape)} cannot be written into "
                f"{target.dtype} {tuple(target.shape)} of {len(mask_B)} rows"
            )
    if not targets or not len(mask_B):
        return
    if choose_backend(backend, index_B.float()) == "triton":
        from dreamdrive.kernels.device import masked_rows

        for target, source in zip(targets, sources, strict=True):
            masked_rows.launch(target, mask_B, source.contiguous(), index_B)
        return
    if mask_B.is_cuda:
        reference(targets, mask_B, sources, index_B)
        return
    masked_rows_op(list(targets), mask_B, list(sources), index_B)


@torch.library.custom_op("dreamdrive::masked_rows_", mutates_args=("targets",))
def masked_rows_op(
    targets: list[Tensor], mask_B: Tensor, sources: list[Tensor], index_B: Tensor
) -> None:
    """Writes the rows on a processor, which knows them without waiting and touches no other."""
    row = mask_B.nonzero()[:, 0]
    if not len(row):
        return
    picked = index_B[row]
    for target, source in zip(targets, sources, strict=True):
        target.index_copy_(0, row, source[picked])


@masked_rows_op.register_fake
def _(targets: list[Tensor], mask_B: Tensor, sources: list[Tensor], index_B: Tensor) -> None:
    return None
