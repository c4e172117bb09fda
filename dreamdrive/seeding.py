"""One seed, many independent generators, each named by what it is for."""

import hashlib

import numpy as np


def derive_seed(seed: int, *purpose: object) -> int:
    """Returns a 63-bit seed that depends on `seed` and on every word of `purpose`.

    Two purposes never share a stream, and adding a purpose never moves another one.

    Raises:
        ValueError: If the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"a seed must be at least 0, got {seed}")
    text = ":".join([str(seed), *(str(word) for word in purpose)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def numpy_generator(seed: int, *purpose: object) -> np.random.Generator:
    """Returns a NumPy generator for one purpose of one seed."""
    return np.random.default_rng(derive_seed(seed, *purpose))
