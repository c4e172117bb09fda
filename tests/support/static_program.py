"""A mode in which a static program may do only what a captured graph could."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = frozenset(
    {"item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__"}
)
"""Methods of a tensor that wait for its device, also where they do nothing on a processor."""

SHAPES = ("nonzero", "masked_select", "_unique2", "unique_dim", "repeat_interleave")
"""Operators whose result has a shape that the data decides."""

FROM_HOST = ("lift_fresh", "lift")
"""Operators that bring a value of the host to the device."""


class NotStaticError(AssertionError):
    """A program did what a captured graph could not."""


class _Functions(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        name = getattr(function, "__name__", "")
        if name in WAITS and args and isinstance(args[0], Tensor):
            raise NotStaticError(f"Tensor.{name}() waits for the device")
        return function(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
        name = func.__name__.split(".")[0]
        if name == "_local_scalar_dense":
            raise NotStaticError("A number is read from the device")
        if name in SHAPES:
            raise NotStaticError(f"{name} has a shape that the data decides")
        if name in FROM_HOST:
            raise NotStaticError(f"{name} brings a value from the host")
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            for index in args[1]:
                if index is not None and index.dtype in (torch.bool, torch.uint8):
                    raise NotStaticError("A boolean mask is an index")
        return func(*args, **(kwargs or {}))


@contextmanager
def static() -> Iterator[None]:
    """Raises a NotStaticError where what is inside could not be captured as a graph."""
    with _Functions(), _Operators():
        yield


def addresses(tensors: list[Tensor]) -> list[tuple[int, int]]:
    """Returns where tensors lie in memory and how large their storages are."""
    return [(x.data_ptr(), x.untyped_storage().nbytes()) for x in tensors]
