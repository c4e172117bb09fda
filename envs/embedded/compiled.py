"""Compilation of the loops that a tick is made of."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(signature: Any = None) -> Callable[[Any], Any]:
    """Returns a decorator that compiles a function to machine code.

    With a signature it is compiled where it is defined, so that nobody waits for it later, and
    kept on disk. What is kept is compared with the file of that function alone, so the functions
    that it calls stand in the same file; they have no signature and become part of it. One
    signature a function lets any number of processes write the same files at once.

    Args:
        signature: numba's types of arguments and result.
    """

    def compile_one(function: Any) -> Any:
        if signature is None:
            return njit(error_model="numpy")(function)
        try:
            return njit(signature, error_model="numpy", cache=True)(function)
        except RuntimeError:  # No folder can be written to, neither the package's nor the user's.
            return njit(signature, error_model="numpy")(function)

    return compile_one
