"""How the operations see their tensors: as rows of channels in groups that share a condition."""

from math import prod

from torch import Tensor


def as_rows(x: Tensor) -> Tensor:
    """Returns a tensor as rows of its last axis, next to each other; also where there are none."""
    return x.reshape(prod(x.shape[:-1]), x.shape[-1]).contiguous()


def group_rows(x: Tensor, condition: Tensor) -> Tensor | None:
    """Returns a condition as one row for each group of tokens, or None if tokens differ in it.

    Args:
        x: Tokens, shape (..., N, D): a group is N consecutive rows.
        condition: Broadcastable to (..., 1, D); a view with a stride between rows stays one.

    Returns:
        Shape (G, D), with adjacent channels.
    """
    if condition.dim() >= 2 and condition.shape[-2] != 1:
        return None
    shape = (*x.shape[:-2], 1, x.shape[-1])
    rows = condition.expand(shape).reshape(prod(shape[:-1]), shape[-1])
    return rows if rows.stride(-1) == 1 or rows.shape[-1] <= 1 else rows.contiguous()


def one_row_a_group(x: Tensor, **conditions: Tensor) -> str:
    """Returns what is wrong with the first condition that differs between tokens, or nothing."""
    for name, value in conditions.items():
        if value.dim() >= 2 and value.shape[-2] != 1:
            return f"{name} must have one row per group, got shape {tuple(value.shape)}"
    return ""


def repeated_rows(leading: tuple[int, ...], table: Tensor) -> tuple[Tensor, int]:
    """Returns a table's rows and how many consecutive tokens share one.

    Token r of the flattened leading shape takes row (r // repeats) % len(rows).

    Args:
        leading: Shape of the tokens, without channels.
        table: Shape broadcastable to (*leading, E).

    Returns:
        Rows of shape (A, E) and the repeats; the table is expanded only where the axes that it has
        are not next to each other.
    """
    axes = (1,) * (len(leading) + 1 - table.dim()) + tuple(table.shape[:-1])
    owned = [i for i, size in enumerate(axes) if size != 1]
    if not owned:
        return table.reshape(1, table.shape[-1]).contiguous(), 1
    first, last = owned[0], owned[-1]
    if axes[first : last + 1] != leading[first : last + 1]:
        table = table.reshape(*axes[first : last + 1], table.shape[-1])
        table = table.expand(*leading[first : last + 1], table.shape[-1])
    return table.reshape(-1, table.shape[-1]).contiguous(), max(1, prod(leading[last + 1 :]))
